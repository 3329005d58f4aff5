"""On the whole node: what is deleted while the operator is gone leaves nothing hanging."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from support import install, kube
from support.builders import deployment_manifest, training_job_manifest

pytestmark = pytest.mark.e2e

OPERATOR = ("deployment", "classifier-operator", "-n", install.NAMESPACE)
CHILDREN = "jobs,pods,deployments,replicasets,services,endpointslices"


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"gone-{uuid.uuid4().hex[:8]}"
    kube.ensure_namespace(name)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def no_operator() -> Iterator[None]:
    """Puts the operator back at the end, whatever happens."""
    yield
    kube.kubectl("scale", *OPERATOR, "--replicas=1")
    kube.kubectl("rollout", "status", *OPERATOR, "--timeout=120s")


def _counts(namespace: str) -> tuple[int, ...]:
    return tuple(len(kube.items(kind, namespace)) for kind in ("jobs", "deployments", "services", "pvc"))


@pytest.mark.usefixtures("no_operator")
def test_deleted_while_the_operator_is_gone(namespace: str) -> None:
    output = {"claim": {"size": "1Mi", "whenDeleted": "Delete"}}
    kube.apply(
        training_job_manifest("short", output=output),
        training_job_manifest("paused", suspend=True),
        deployment_manifest("short"),
        namespace=namespace,
    )
    kube.wait_for("the children are there", lambda: _counts(namespace) == (2, 1, 1, 1), timeout=60)
    kube.kubectl("scale", *OPERATOR, "--replicas=0")
    label = "app.kubernetes.io/component=operator"  # the gateway stays
    kube.kubectl("wait", "--for=delete", "pod", "-n", install.NAMESPACE, "-l", label, "--timeout=60s")
    kube.kubectl("delete", "ctj,cdep", "--all", "-n", namespace, "--timeout=20s")
    kube.wait_for(
        "the garbage collector takes every child",
        lambda: not kube.items(f"{CHILDREN},pvc", namespace),
        timeout=120,
        show=lambda: kube.kubectl("get", f"{CHILDREN},pvc", "-n", namespace),
    )
