"""What the stores know of sleep: wake Leases, our own slices, budgets, and whom a change of them concerns."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.controller.keys import Key
from classifier_operator.controller.observe import observe_deployment
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.state import State
from classifier_operator.controller.views import pod_stats
from classifier_operator.kube.resources import DISRUPTION_BUDGETS, ENDPOINT_SLICES, LEASES, SERVICES
from classifier_operator.kube.trim import gateway_pod, trim
from classifier_operator.manifests.disruption_budget import disruption_budget
from classifier_operator.manifests.endpointslice import GatewayEndpoint, gateway_slices
from classifier_operator.manifests.lease import wake_lease
from classifier_operator.manifests.metadata import object_metadata
from classifier_operator.manifests.service import server_service
from classifier_operator.plan.types import DeploymentObserved, PodStats, SliceView
from classifier_operator.pods.stats import Said
from classifier_operator.wire.stats import ServerStats
from classifier_operator.wire.wake import GatewayOrder
from support.builders import NOW, UID, deployment

Json = dict[str, Any]
KEY = Key(names.DEPLOYMENT_KIND, "default", "news")


class Stores:
    """The stores, and which keys a change of them wanted."""

    def __init__(self) -> None:
        self.wanted: list[Key] = []
        self.ports = PortAllocator(10_000, 10_009)
        self.state = State(self.wanted.append, self.ports)
        self._version = 0

    def put(self, resource: Any, manifest: Json, uid: str = "u", **more: Any) -> Json:
        self._version += 1
        metadata = {**manifest["metadata"], "uid": uid, "resourceVersion": str(self._version)}
        value = {**manifest, **more, "metadata": metadata}
        assert self.state[resource].put(value)
        return value

    def remove(self, resource: Any, value: Json) -> None:
        self._version += 1
        metadata = {**value["metadata"], "resourceVersion": str(self._version)}
        assert self.state[resource].remove({**value, "metadata": metadata})

    def observe(self) -> DeploymentObserved:
        return observe_deployment(self.state, KEY, deployment(), now=NOW, answers=None)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def order(port: int = 10_003, **changes: Any) -> GatewayOrder:
    made = {
        "namespace": "default",
        "name": "news",
        "uid": UID,
        "port": port,
        "answer": "Hold",
        "reason": "Idle",
        "message": "it sleeps",
        "max_held": 1,
        "hold_seconds": 1.0,
        **changes,
    }
    return GatewayOrder(**made)


def lease(port: int = 10_003, **changes: Any) -> Json:
    return wake_lease("system", order(port, **changes))


def test_a_lease_is_read_as_it_was_written(stores: Stores) -> None:
    stores.put(LEASES, lease(), spec={"renewTime": "2026-03-01T12:00:00.000000Z", "holderIdentity": "x"})
    found = stores.state[LEASES].get("system", f"wake-{UID}")
    assert found is not None
    assert found["order"] == order().encode()
    assert found["renewTime"] == "2026-03-01T12:00:00.000000Z"
    assert set(found) == {"metadata", "order", "deployment", "renewTime"}
    assert stores.wanted == [KEY], "the deployment stands in another namespace than the Lease"
    assert stores.state.children(LEASES, KEY) == [found]


@pytest.mark.parametrize("text", [None, "", "no JSON", "[]", '{"namespace":"default"}', '{"uid":1}'])
def test_a_lease_that_cannot_be_read_concerns_nobody(stores: Stores, text: str | None) -> None:
    manifest = lease()
    manifest["metadata"]["annotations"] = {} if text is None else {"classifiers.dev/gateway": text}
    stores.put(LEASES, manifest)
    assert stores.wanted == []
    assert stores.ports.uids() == frozenset()


def test_ports_are_heard_of_from_the_leases(stores: Stores) -> None:
    value = stores.put(LEASES, lease(10_003))
    assert stores.ports.port(UID) == 10_003
    other = stores.put(LEASES, lease(10_000, uid="other"), uid="u2")
    assert stores.ports.port("third") == 10_001
    stores.remove(LEASES, other)
    stores.ports.forget("other")
    assert "other" not in stores.ports
    stores.remove(LEASES, value)
    assert stores.ports.port(UID) == 10_003, "it stays promised to a deployment that is there"
    stores.ports.forget(UID)
    assert UID not in stores.ports


def test_our_slices_are_one_view_and_not_counted_as_endpoints(stores: Stores) -> None:
    service = stores.put(SERVICES, server_service(deployment()), uid="service")
    assert stores.observe().slice is None
    endpoints = [GatewayEndpoint("10.0.0.7", "n"), GatewayEndpoint("10.0.0.8", "n"), GatewayEndpoint("fd00::7", "n")]
    for number, manifest in enumerate(gateway_slices(deployment(), port=10_003, endpoints=endpoints)):
        stores.put(ENDPOINT_SLICES, manifest, uid=f"slice-{number}")
    owner = {"kind": "Service", "name": "news", "uid": service["metadata"]["uid"], "controller": True}
    theirs = {"name": "news-x", "namespace": "default", "labels": {**names.server_labels("news")}}
    stores.put(
        ENDPOINT_SLICES,
        {"metadata": {**theirs, "ownerReferences": [owner]}},
        uid="theirs",
        endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        ports=[{"port": 8080}],
    )
    observed = stores.observe()
    assert observed.ready_endpoints == 1
    assert observed.slice == SliceView("slice-0", 10_003, frozenset({"10.0.0.7", "10.0.0.8", "fd00::7"}))
    assert set(stores.wanted) == {KEY}


def test_slices_that_contradict_each_other_fit_no_port(stores: Stores) -> None:
    (four,) = gateway_slices(deployment(), port=10_003, endpoints=[GatewayEndpoint("10.0.0.7", "n")])
    (six,) = gateway_slices(deployment(), port=10_004, endpoints=[GatewayEndpoint("fd00::7", "n")])
    stores.put(ENDPOINT_SLICES, four, uid="four")
    stores.put(ENDPOINT_SLICES, six, uid="six")
    found = stores.observe().slice
    assert found is not None
    assert found.port == 0


def test_a_slice_that_goes_or_is_an_earlier_deployments_is_none(stores: Stores) -> None:
    (manifest,) = gateway_slices(deployment(), port=10_003, endpoints=[GatewayEndpoint("10.0.0.7", "n")])
    going = {**manifest, "metadata": {**manifest["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    stores.put(ENDPOINT_SLICES, going)
    assert stores.observe().slice is None
    earlier = deployment(metadata={"uid": "earlier"})
    (manifest,) = gateway_slices(earlier, port=10_003, endpoints=[GatewayEndpoint("10.0.0.7", "n")])
    stores.put(ENDPOINT_SLICES, manifest)
    assert stores.observe().slice is None


def test_a_budget_is_ours_or_none(stores: Stores) -> None:
    assert not stores.observe().has_disruption_budget
    stores.put(DISRUPTION_BUDGETS, disruption_budget(deployment()))
    assert stores.observe().has_disruption_budget
    foreign = disruption_budget(deployment())
    foreign["metadata"] = object_metadata("news", deployment(), {}, owned=False)
    stores.put(DISRUPTION_BUDGETS, foreign)
    assert not stores.observe().has_disruption_budget


def test_a_gateway_pod_tells_its_node() -> None:
    metadata = {"namespace": "system", "name": "g", "uid": "u"}
    assert gateway_pod({"metadata": metadata, "spec": {"nodeName": "node-1", "containers": []}})["node"] == "node-1"
    assert gateway_pod({"metadata": metadata, "spec": {}})["node"] == ""


def test_only_our_slices_keep_their_addresses() -> None:
    (manifest,) = gateway_slices(deployment(), port=10_003, endpoints=[GatewayEndpoint("10.0.0.7", "n")])
    trimmed = trim(ENDPOINT_SLICES, manifest)
    assert (trimmed["port"], trimmed["addresses"]) == (10_003, ["10.0.0.7"])
    del manifest["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
    assert set(trim(ENDPOINT_SLICES, manifest)) == {"metadata", "ready"}


@pytest.mark.parametrize(
    ("stats", "seen"),
    [
        ({"inFlight": 2}, PodStats(2, None, 10, 10)),
        ({"inFlight": 0, "secondsSinceReady": 5}, PodStats(0, None, 15, 10)),
        ({"inFlight": 0, "secondsSinceReady": 5, "secondsSinceLastCompletion": 0}, PodStats(0, 10, 15, 10)),
        ({"inFlight": 1, "secondsSinceReady": 60, "secondsSinceLastCompletion": 7.5}, PodStats(1, 17.5, 70, 10)),
    ],
)
def test_what_a_pod_said_is_counted_on(stats: Json, seen: PodStats) -> None:
    assert pod_stats(Said(ServerStats.model_validate(stats), age=10)) == seen
    assert pod_stats(None) is None
