{{/* Name of everything that the release makes: the release's name, with the chart's where it is not part of it. */}}
{{- define "classifier-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "classifier-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "classifier-operator.fullname" .) -}}
{{- end -}}

{{/* Labels by which the Deployment finds its pods; they can never change. */}}
{{- define "classifier-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "classifier-operator.labels" -}}
{{ include "classifier-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The same for the gateway: by these labels the operator finds the gateway's pods, too. */}}
{{- define "classifier-operator.gatewaySelectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "classifier-operator.gatewayLabels" -}}
{{ include "classifier-operator.gatewaySelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "classifier-operator.gatewayName" -}}
{{- include "classifier-operator.fullname" . }}-gateway
{{- end -}}

{{/* Reference of an image; takes a list of the image's values and the root context. */}}
{{- define "classifier-operator.image" -}}
{{- $image := index . 0 -}}
{{- $root := index . 1 -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
