"""The rendered chart: rights against a golden list, a pod that the restricted standard admits, values that are checked.

Marked `e2e` because helm comes with the whole local cluster; nothing here talks to it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier_operator.gateway import __main__ as gateway_main
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.settings import Settings
from classifier_operator.wire.gateway import REPORT_PORT
from classifier_operator.wire.wake import FIRST_PORT, LAST_PORT
from support import kube

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm" / "classifier-operator"
RELEASE = "classifier-operator"
Manifest = dict[str, Any]

READ = ["get", "list", "watch"]
KINDS = ["classifiertrainingjobs", "classifierdeployments"]
OPERATOR_RIGHTS = [
    (["classifiers.dev"], KINDS, READ),
    (["classifiers.dev"], ["classifiertrainingjobs/status", "classifierdeployments/status"], ["patch"]),
    (["classifiers.dev"], ["classifiertrainingjobs"], ["delete"]),
    (["classifiers.dev"], ["classifiertrainingjobs/finalizers", "classifierdeployments/finalizers"], ["update"]),
    (["batch"], ["jobs"], [*READ, "create", "patch", "delete"]),
    (["apps"], ["deployments"], [*READ, "create", "patch"]),
    ([""], ["services", "persistentvolumeclaims"], [*READ, "create", "patch"]),
    ([""], ["pods"], READ),
    (["discovery.k8s.io"], ["endpointslices"], [*READ, "create", "patch", "delete"]),
    (["policy"], ["poddisruptionbudgets"], [*READ, "create", "patch", "delete"]),
    ([""], ["secrets"], ["get"]),
    ([""], ["configmaps"], ["get"]),
]
OPERATOR_RIGHTS_HERE = [
    (["coordination.k8s.io"], ["leases"], [*READ, "create", "update", "patch", "delete"]),
]
GATEWAY_RIGHTS = [
    ([""], ["pods"], ["list", "watch"]),
    (["discovery.k8s.io"], ["endpointslices"], ["list"]),
]
GATEWAY_RIGHTS_HERE = [(["coordination.k8s.io"], ["leases"], [*READ, "patch"])]
GATEWAY = "classifier-operator-gateway"


def render(*arguments: str) -> list[Manifest]:
    return render_as(RELEASE, *arguments)


def render_as(release: str, *arguments: str) -> list[Manifest]:
    text = kube.helm("template", release, str(CHART), "--namespace", "classifier-system", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def find(manifests: list[Manifest], kind: str, name: str = "classifier-operator") -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render()


def rights(role: Manifest) -> list[tuple[list[str], list[str], list[str]]]:
    assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in role["rules"])
    return [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in role["rules"]]


def rights_of(manifests: list[Manifest], deployment: str) -> dict[str, list[tuple[list[str], list[str], list[str]]]]:
    """Rights of a Deployment's service account, by kind of the role; roles are those of the chart's namespace."""
    account = find(manifests, "Deployment", deployment)["spec"]["template"]["spec"]["serviceAccountName"]
    assert find(manifests, "ServiceAccount", account)["automountServiceAccountToken"] is False
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "classifier-system"}
    bindings = [each for each in manifests if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}]
    mine = [each["roleRef"] for each in bindings if each["subjects"] == [subject]]
    roles = {each["kind"]: find(manifests, each["kind"], each["name"]) for each in mine}
    assert len(mine) == len(roles)
    assert all(role["metadata"]["namespace"] == "classifier-system" for kind, role in roles.items() if kind == "Role")
    return {kind: rights(role) for kind, role in roles.items()}


def test_operator_and_gateway_have_these_rights_and_no_others(manifests: list[Manifest]) -> None:
    operator = {"ClusterRole": OPERATOR_RIGHTS, "Role": OPERATOR_RIGHTS_HERE}
    gateway = {"ClusterRole": GATEWAY_RIGHTS, "Role": GATEWAY_RIGHTS_HERE}
    assert rights_of(manifests, "classifier-operator") == operator
    assert rights_of(manifests, GATEWAY) == gateway
    bindings = [each for each in manifests if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}]
    assert len(bindings) == len(operator) + len(gateway)
    assert all(len(each["subjects"]) == 1 for each in bindings)


def test_who_may_edit_may_use_the_kinds_and_who_may_view_only_reads(manifests: list[Manifest]) -> None:
    edit = find(manifests, "ClusterRole", "classifier-operator-edit")
    view = find(manifests, "ClusterRole", "classifier-operator-view")
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    assert {key for key in edit["metadata"]["labels"] if key.startswith(aggregated)} == {
        f"{aggregated}edit",
        f"{aggregated}admin",
    }
    assert {key for key in view["metadata"]["labels"] if key.startswith(aggregated)} == {f"{aggregated}view"}
    assert rights(edit) == [
        (["classifiers.dev"], KINDS, [*READ, "create", "update", "patch", "delete", "deletecollection"]),
        (["classifiers.dev"], ["classifierdeployments/scale"], ["get", "update", "patch"]),
    ]
    assert rights(view) == [
        (["classifiers.dev"], KINDS, READ),
        (["classifiers.dev"], ["classifierdeployments/scale"], ["get"]),
    ]


def test_there_is_never_a_second_operator_beside_the_first(manifests: list[Manifest]) -> None:
    spec = find(manifests, "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", ["classifier-operator", GATEWAY])
def test_pods_are_restricted(manifests: list[Manifest], name: str) -> None:
    pod = find(manifests, "Deployment", name)["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp"}
    assert "limits" in container["resources"]


def test_the_kubelet_asks_where_they_answer(manifests: list[Manifest]) -> None:
    (operator,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert operator["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "healthz"}
    assert {port["name"]: port["containerPort"] for port in operator["ports"]} == {"healthz": 8080, "metrics": 9090}
    (gateway,) = find(manifests, "Deployment", GATEWAY)["spec"]["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in gateway["ports"]} == {"metrics": REPORT_PORT}
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}
    assert gateway["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_there_is_always_a_gateway_that_listens(manifests: list[Manifest]) -> None:
    spec = find(manifests, "Deployment", GATEWAY)["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    pod, settings = spec["template"]["spec"], GatewaySettings()
    most = settings.drain_seconds + settings.settle_seconds + settings.finish_seconds
    assert pod["terminationGracePeriodSeconds"] >= most
    assert all(each["whenUnsatisfiable"] == "ScheduleAnyway" for each in pod["topologySpreadConstraints"])
    labels = spec["selector"]["matchLabels"]
    assert all(each["labelSelector"]["matchLabels"] == labels for each in pod["topologySpreadConstraints"])
    budget = find(manifests, "PodDisruptionBudget", GATEWAY)["spec"]
    assert budget == {"minAvailable": 1, "selector": {"matchLabels": labels}}
    alone = render("--set=gateway.replicas=1")
    assert not [each for each in alone if each["kind"] == "PodDisruptionBudget"], "it would block every drain"


def test_operator_finds_the_gateway(manifests: list[Manifest]) -> None:
    for release in ("classifier-operator", "second"):
        rendered = manifests if release == "classifier-operator" else render_as(release)
        found = [each for each in rendered if each["kind"] == "Deployment"]
        (gateway,) = [each for each in found if each["metadata"]["name"].endswith("-gateway")]
        (operator,) = [each for each in found if each is not gateway]
        selector = variables(operator)["CLASSIFIER_GATEWAY_SELECTOR"]
        wanted = dict(each.split("=") for each in selector.split(","))
        assert wanted == gateway["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= gateway["spec"]["template"]["metadata"]["labels"].items()
        assert not wanted.items() <= operator["spec"]["template"]["metadata"]["labels"].items()
    default = dict(each.split("=") for each in Settings().gateway_selector.split(","))
    assert default.items() <= find(manifests, "Deployment", GATEWAY)["spec"]["selector"]["matchLabels"].items()


def test_gateway_reads_every_variable_that_the_chart_sets(manifests: list[Manifest]) -> None:
    gateway = find(manifests, "Deployment", GATEWAY)
    known = {f"CLASSIFIER_{field.upper()}" for field in GatewaySettings.__slots__} | {"POD_IP"}
    assert variables(gateway) == {
        "CLASSIFIER_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "POD_IP": {"fieldRef": {"fieldPath": "status.podIPs"}},
    }
    assert variables(gateway).keys() <= known
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", gateway_main.__name__.removesuffix(".__main__")]
    (operator,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == operator["image"]


def test_the_gateway_can_be_left_out(manifests: list[Manifest]) -> None:
    without = render("--set=gateway.enabled=false")
    assert without == [each for each in manifests if each["metadata"]["name"] != GATEWAY]


def test_network_policies_let_in_what_is_needed(manifests: list[Manifest]) -> None:
    assert not [each for each in manifests if each["kind"] == "NetworkPolicy"]
    made = render("--set=networkPolicy.enabled=true")
    operator = find(made, "NetworkPolicy")["spec"]
    assert operator["podSelector"] == find(made, "Deployment")["spec"]["selector"]
    assert operator["ingress"] == [{"ports": [{"port": 8080}, {"port": 9090}]}]
    gateway = find(made, "NetworkPolicy", GATEWAY)["spec"]
    assert gateway["podSelector"] == find(made, "Deployment", GATEWAY)["spec"]["selector"]
    assert gateway["policyTypes"] == operator["policyTypes"] == ["Ingress"]
    assert gateway["ingress"] == [
        {"ports": [{"port": FIRST_PORT, "endPort": LAST_PORT}]},
        {"ports": [{"port": REPORT_PORT}]},
    ]
    only = render("--set=networkPolicy.enabled=true,gateway.enabled=false")
    assert [each["metadata"]["name"] for each in only if each["kind"] == "NetworkPolicy"] == ["classifier-operator"]


def test_the_dashboard_is_found_by_its_label(manifests: list[Manifest]) -> None:
    assert not [each for each in manifests if each["kind"] == "ConfigMap"]
    made = find(render("--set=dashboards.enabled=true,dashboards.labels.team=a"), "ConfigMap", f"{RELEASE}-dashboard")
    assert made["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "team": "a"}.items()
    (text,) = made["data"].values()
    assert json.loads(text) == json.loads((CHART / "files" / "dashboard.json").read_text())


def variables(deployment: Manifest) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def environment(manifests: list[Manifest]) -> dict[str, Any]:
    return variables(find(manifests, "Deployment"))


def test_operator_reads_every_variable_that_the_chart_sets(manifests: list[Manifest]) -> None:
    known = {f"CLASSIFIER_{field.upper()}" for field in Settings.__slots__}
    assert environment(manifests).keys() <= known
    assert environment(manifests)["CLASSIFIER_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_images_default_to_the_version_of_the_chart(manifests: list[Manifest]) -> None:
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    tag = chart["appVersion"]
    assert container["image"] == f"classifier-operator/operator:{tag}"
    assert environment(manifests)["CLASSIFIER_TRAINER_IMAGE"] == f"classifier-operator/trainer:{tag}"
    assert environment(manifests)["CLASSIFIER_SERVER_IMAGE"] == f"classifier-operator/server:{tag}"


def test_version_is_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_values_reach_the_pod() -> None:
    manifests = render(
        "--set-string=image.repository=registry.example/operator,image.tag=1.2.3",
        "--set-string=trainer.image.tag=t,server.image.tag=s,podLabels.team=a,nodeSelector.disk=ssd",
        '--set-json=tolerations=[{"key":"a","operator":"Exists"}]',
        '--set-json=resources={"limits":{"memory":"1Gi"}}',
        "--set=serviceAccount.name=robot,imagePullSecrets[0].name=registry",
    )
    template = find(manifests, "Deployment")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry.example/operator:1.2.3"
    assert environment(manifests)["CLASSIFIER_TRAINER_IMAGE"].endswith("/trainer:t")
    assert environment(manifests)["CLASSIFIER_SERVER_IMAGE"].endswith("/server:s")
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert template["spec"]["tolerations"] == [{"key": "a", "operator": "Exists"}]
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    assert find(manifests, "ServiceAccount", "robot")
    gateway = find(manifests, "Deployment", GATEWAY)["spec"]["template"]
    assert gateway["spec"]["containers"][0]["image"] == "registry.example/operator:1.2.3"
    assert gateway["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert "nodeSelector" not in gateway["spec"], "the gateway has its own"
    assert template["spec"]["serviceAccountName"] == "robot"


def test_kinds_stay_on_uninstall_and_can_be_left_out(manifests: list[Manifest]) -> None:
    definitions = [each for each in manifests if each["kind"] == "CustomResourceDefinition"]
    assert {each["spec"]["names"]["kind"] for each in definitions} == {"ClassifierTrainingJob", "ClassifierDeployment"}
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in definitions)
    without = render("--set=crds.install=false")
    assert without == [each for each in manifests if each["kind"] != "CustomResourceDefinition"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--set=replicas=2", "additional properties 'replicas' not allowed"),
        ("--set=image.repo=a", "additional properties 'repo' not allowed"),
        ("--set=image.pullPolicy=Sometimes", "pullPolicy"),
        ("--set=trainer.image.repository=", "minLength"),
        ("--set-string=crds.install=no", "got string, want boolean"),
        ("--set=trainer.resources.limits.cpu=1", "additional properties 'resources' not allowed"),
        ("--set=gateway.replicas=0", "minimum: got 0, want 1"),
        ("--set=gateway.size=1", "additional properties 'size' not allowed"),
        ("--set-string=networkPolicy.enabled=yes", "got string, want boolean"),
        ("--set=dashboards.folder=x", "additional properties 'folder' not allowed"),
    ],
)
def test_unknown_and_wrong_values_are_refused(argument: str, message: str) -> None:
    with pytest.raises(kube.CommandError, match=message):
        render(argument)


def test_every_value_is_in_the_schema_with_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() - {"global"} == values.keys()
    for name in ("gateway", "networkPolicy", "dashboards"):
        assert schema["properties"][name]["properties"].keys() == values[name].keys()


def test_values_reach_the_gateway() -> None:
    manifests = render(
        "--set=gateway.replicas=3,gateway.nodeSelector.disk=ssd,gateway.priorityClassName=high",
        "--set=gateway.podLabels.team=a,gateway.podAnnotations.note=b,gateway.resources.limits.memory=1Gi",
        '--set-json=gateway.tolerations=[{"key":"a","operator":"Exists"}]',
    )
    spec = find(manifests, "Deployment", GATEWAY)["spec"]
    template = spec["template"]
    assert spec["replicas"] == 3
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["annotations"] == {"note": "b"}
    assert template["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert template["spec"]["priorityClassName"] == "high"
    assert template["spec"]["tolerations"] == [{"key": "a", "operator": "Exists"}]
    assert template["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
