"""What becomes of deployments, on a real API server."""

from __future__ import annotations

import pytest

from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import APP_DEPLOYMENTS, DEPLOYMENTS, ENDPOINT_SLICES, SERVICES, Resource
from support.builders import deployment_manifest
from support.control_plane import eventually
from support.scene import Scene, true_conditions

pytestmark = pytest.mark.integration


async def test_a_deployment_is_deployed_when_its_service_answers(scene: Scene) -> None:
    scene.pod.ready = False
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news"))
    status = await scene.phase(DEPLOYMENTS, "news", "Deploying")
    await _roll_out(scene, "news")
    status = await scene.says(DEPLOYMENTS, "news", "waiting for the Service to answer")
    assert true_conditions(status) == {"Reconciling": "WaitingForService", "Awake": "AlwaysOn"}
    scene.pod.ready = True
    status = await scene.phase(DEPLOYMENTS, "news", "Deployed")
    assert (status["ready"], status["url"]) == ("1/1", f"http://news.{scene.cluster.namespace}.svc")
    scale = await scene.cluster.client.request("GET", DEPLOYMENTS.path(scene.cluster.namespace, "news", "scale"))
    assert scale["status"] == {"replicas": 1, "selector": status["selector"]}

    await scene.cluster.patch(APP_DEPLOYMENTS, "news", {"spec": {"replicas": 5}})

    async def put_right() -> bool:
        return bool((await scene.cluster.get(APP_DEPLOYMENTS, "news"))["spec"]["replicas"] == 1)

    await eventually("only the operator writes replicas", put_right)
    await scene.cluster.patch(DEPLOYMENTS, "news", {"spec": {"suspend": True}})

    async def off() -> bool:
        return bool((await scene.cluster.get(APP_DEPLOYMENTS, "news"))["spec"]["replicas"] == 0)

    await eventually("its pods go", off)
    await scene.phase(DEPLOYMENTS, "news", "Suspended")


async def _roll_out(scene: Scene, name: str) -> None:
    """What Deployment, endpoint slice controller and kubelet would do."""
    service = await eventually("the Service", lambda: scene.cluster.find(SERVICES, name))
    app = await scene.cluster.get(APP_DEPLOYMENTS, name)
    ready = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    await scene.cluster.set_status(
        APP_DEPLOYMENTS, name, {"observedGeneration": app["metadata"]["generation"], **ready}
    )
    owner = {"apiVersion": "v1", "kind": "Service", "name": name, "uid": service["metadata"]["uid"], "controller": True}
    labels = {**service["metadata"]["labels"], "kubernetes.io/service-name": name}
    await scene.cluster.create(
        ENDPOINT_SLICES,
        {
            "metadata": {"name": f"{name}-x", "labels": labels, "ownerReferences": [owner]},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["198.18.0.9"], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        },
    )


@pytest.mark.parametrize("resource", [APP_DEPLOYMENTS, SERVICES], ids=lambda resource: resource.kind)
async def test_a_strangers_object_is_never_written(scene: Scene, resource: Resource) -> None:
    labels = {"app": "other"}
    spec: Json = {"selector": labels, "ports": [{"port": 80}]}
    if resource is APP_DEPLOYMENTS:
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
    before = await scene.cluster.create(resource, {"metadata": {"name": "shop"}, "spec": spec})
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("shop"))
    status = await scene.says(
        DEPLOYMENTS, "shop", f"{resource.kind} shop exists and does not belong to this deployment"
    )
    assert true_conditions(status) == {"Stalled": "NameConflict"}
    after = await scene.cluster.get(resource, "shop")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
