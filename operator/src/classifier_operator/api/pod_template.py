"""`podTemplate`: the part of a Pod template that users may set on the pods of a job or deployment."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.base import Model, list_map, rule, rules
from classifier_operator.api.scalars import DataKey, ObjectName, Quantity
from classifier_operator.api.scheduling import Affinity, LabelMap, Toleration, TopologySpreadConstraint

VolumeName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=512)]
FileMode = Annotated[int, Field(ge=0, le=0o777)]


class ResourceRequirements(Model):
    """Compute resources of the one container, as in core/v1."""

    limits: dict[str, Quantity] | None = Field(default=None, max_length=16)
    """The most that the container may use, e.g. nvidia.com/gpu: 1, memory: 16Gi or cpu: 500m (fractions as text).
    Default: no limit."""
    requests: dict[str, Quantity] | None = Field(default=None, max_length=16)
    """What is set aside for the container, e.g. cpu: 500m. Default: the limits."""


class LocalObjectReference(Model):
    """An object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class KeySelector(Model):
    """A key of a ConfigMap or Secret in the same namespace."""

    name: ObjectName
    """Name of the ConfigMap or Secret."""
    key: DataKey
    """Key whose value is taken."""
    optional: bool | None = None
    """Whether the object or key may be missing. Default: false."""


class FieldSelector(Model):
    """A field of the pod."""

    field_path: str = Field(min_length=1, max_length=256)
    """Path of the field, e.g. spec.nodeName."""


class EnvVarSource(Model):
    """Where the value of an environment variable comes from."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1",
                "valueFrom needs exactly one of secretKeyRef, configMapKeyRef and fieldRef",
            )
        )
    )


class EnvVar(Model):
    """An environment variable of the container."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        json_schema_extra=rules(
            rule(
                "!self.startsWith('CLASSIFIER_')",
                "environment variables named CLASSIFIER_* belong to the operator: choose another name",
            )
        ),
    )
    """Name of the variable. Names that begin with CLASSIFIER_ belong to the operator."""
    value: str | None = Field(default=None, max_length=4096)
    """Value of the variable. Default: empty."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of `value`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!(has(self.value) && has(self.valueFrom))", "write either value or valueFrom, not both")
        )
    )


class KeyToPath(Model):
    """A key of a ConfigMap or Secret as a file."""

    key: DataKey
    """Key whose value becomes the file."""
    path: RelativePath
    """Path of the file in the volume."""
    mode: FileMode | None = None
    """Mode of the file, as a decimal number. Default: defaultMode."""


class ClaimVolume(Model):
    """A PersistentVolumeClaim in the same namespace."""

    claim_name: ObjectName
    """Name of the claim."""
    read_only: bool | None = None
    """Whether it is mounted read-only. Default: false."""


class ConfigMapVolume(Model):
    """A ConfigMap in the same namespace, a file for each key."""

    name: ObjectName
    """Name of the ConfigMap."""
    items: list[KeyToPath] | None = Field(default=None, max_length=64)
    """Keys to show. Default: all."""
    default_mode: FileMode | None = None
    """Mode of the files, as a decimal number. Default: 420 (0644)."""
    optional: bool | None = None
    """Whether the ConfigMap may be missing. Default: false."""


class SecretVolume(Model):
    """A Secret in the same namespace, a file for each key."""

    secret_name: ObjectName
    """Name of the Secret."""
    items: list[KeyToPath] | None = Field(default=None, max_length=64)
    """Keys to show. Default: all."""
    default_mode: FileMode | None = None
    """Mode of the files, as a decimal number. Default: 420 (0644)."""
    optional: bool | None = None
    """Whether the Secret may be missing. Default: false."""


class EmptyDirVolume(Model):
    """An empty folder that lives as long as the pod."""

    medium: Literal["", "Memory"] | None = None
    """Memory: a tmpfs. Default: the disk of the node."""
    size_limit: Quantity | None = None
    """The most that the folder may hold. Default: no limit."""


class Volume(Model):
    """A volume of the pod."""

    name: VolumeName
    """Name of the volume, at most 63 characters."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claim."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap."""
    secret: SecretVolume | None = None
    """A Secret."""
    empty_dir: EmptyDirVolume | None = None
    """An empty folder."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.persistentVolumeClaim), has(self.configMap), has(self.secret), has(self.emptyDir)]"
                ".filter(x, x).size() == 1",
                "a volume needs exactly one of persistentVolumeClaim, configMap, secret and emptyDir; other kinds of "
                "volumes are not allowed here",
            )
        )
    )


class VolumeMount(Model):
    """A volume in the container."""

    name: VolumeName
    """Name of the volume."""
    mount_path: str = Field(
        min_length=2,
        max_length=512,
        pattern=r"^/[^:]+$",
        json_schema_extra=rules(
            rule(
                "!['/inputs', '/output', '/tmp'].exists(x, self == x || self.startsWith(x + '/'))",
                "/inputs, /output and /tmp belong to the operator: mount the volume elsewhere, e.g. at /data",
            )
        ),
    )
    """Absolute path in the container, not in /inputs, /output or /tmp."""
    sub_path: RelativePath | None = None
    """Path in the volume. Default: its top."""
    read_only: bool | None = None
    """Whether it is mounted read-only. Default: false."""


class PodTemplateMetadata(Model):
    """Labels and annotations of the pods; the operator's own win."""

    labels: LabelMap | None = None
    """Labels, at most 64."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] | None = Field(default=None, max_length=64)
    """Annotations, at most 64 of at most 4096 characters."""


class PodTemplateSpec(Model):
    """The allowed subset of core/v1 PodSpec, and `env` and `volumeMounts` of the one container."""

    node_selector: LabelMap | None = None
    """Labels that a node must have."""
    tolerations: list[Toleration] | None = Field(default=None, max_length=32)
    """Taints that the pods tolerate, at most 32."""
    affinity: Affinity | None = None
    """Which nodes and which neighbours the pods need or prefer."""
    topology_spread_constraints: list[TopologySpreadConstraint] | None = Field(default=None, max_length=16)
    """How the pods are spread, at most 16."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    scheduler_name: ObjectName | None = None
    """Scheduler of the pods. Default: the cluster's."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods."""
    image_pull_secrets: list[LocalObjectReference] | None = Field(
        default=None, max_length=16, json_schema_extra=list_map("name")
    )
    """Secrets for pulling the image, at most 16."""
    env: list[EnvVar] | None = Field(default=None, max_length=64, json_schema_extra=list_map("name"))
    """Environment of the container, at most 64. Where the operator sets a variable of the same name, its own wins."""
    volumes: list[Volume] | None = Field(default=None, max_length=32, json_schema_extra=list_map("name"))
    """Volumes of the pod, at most 32: claims, ConfigMaps, Secrets and empty folders."""
    volume_mounts: list[VolumeMount] | None = Field(
        default=None, max_length=32, json_schema_extra=list_map("mountPath")
    )
    """Where the volumes stand in the container, at most 32."""


class PodTemplate(Model):
    """A typed subset of core/v1 PodTemplate: no host access, security context, containers or service account."""

    metadata: PodTemplateMetadata | None = None
    """Labels and annotations of the pods."""
    spec: PodTemplateSpec | None = None
    """Scheduling, environment and volumes of the pods."""
