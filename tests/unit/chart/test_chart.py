"""The rendered chart: rights against a golden list, a pod that the restricted standard admits, values that are checked.

Marked `e2e` because helm comes with the whole local cluster; nothing here talks to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier_operator.settings import Settings
from support import kube

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm" / "classifier-operator"
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
    (["discovery.k8s.io"], ["endpointslices"], READ),
    ([""], ["configmaps"], ["get"]),
]
LEADER_RIGHTS = [(["coordination.k8s.io"], ["leases"], ["get", "create", "update"])]


def render(*arguments: str) -> list[Manifest]:
    text = kube.helm("template", "classifier-operator", str(CHART), "--namespace", "classifier-system", *arguments)
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


def test_operator_has_these_rights_and_no_others(manifests: list[Manifest]) -> None:
    assert rights(find(manifests, "ClusterRole")) == OPERATOR_RIGHTS
    leader = find(manifests, "Role", "classifier-operator-leader")
    assert rights(leader) == LEADER_RIGHTS
    assert leader["metadata"]["namespace"] == "classifier-system"
    bindings = [each for each in manifests if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}]
    assert {binding["roleRef"]["name"] for binding in bindings} == {"classifier-operator", "classifier-operator-leader"}
    subject = {"kind": "ServiceAccount", "name": "classifier-operator", "namespace": "classifier-system"}
    assert all(binding["subjects"] == [subject] for binding in bindings)


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


def test_pod_is_restricted(manifests: list[Manifest]) -> None:
    pod = find(manifests, "Deployment")["spec"]["template"]["spec"]
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
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "healthz"}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"healthz": 8080, "metrics": 9090}


def environment(manifests: list[Manifest]) -> dict[str, Any]:
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


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
