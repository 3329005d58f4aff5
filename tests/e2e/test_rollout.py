"""Another model takes the place of the one that is served, and pods come and go, without a request that fails."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.asking import SECONDS, address, ask, leads_to, patch, pods, stays_asleep, wait_until_asleep
from e2e.objects import Manifest, condition, deployment, status, wait_for_phase
from support import fast_server, kube
from support.caller import load

pytestmark = pytest.mark.e2e

NEW = "file:///another"


@pytest.fixture(scope="module")
def deployed(namespace: str, models: str, fast_image: str) -> Iterator[str]:
    """All deployments of this module, applied at once."""

    def fast(name: str, **spec: Any) -> Manifest:
        return fast_server.deployment(name, fast_image, load_seconds=1, **spec)

    made = [
        fast("rolling", updateStrategy="RollingUpdate"),
        fast("recreated", updateStrategy="Recreate"),
        fast("dozing", inactivityTimeout="10s"),
        fast("pair", replicas=2),
        deployment("keeps", model={"uri": f"pvc://{models}/tiny"}),
    ]
    kube.apply(*made, namespace=namespace)
    yield namespace
    for each in made:
        kube.kubectl("delete", "cdep", each["metadata"]["name"], "-n", namespace, "--wait=false")


def served(name: str, namespace: str) -> set[str]:
    """The models that the pods of a deployment serve."""
    found = set()
    for pod in pods(name, namespace):
        environment = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
        found.add(json.loads(environment["CLASSIFIER_SERVE_CONFIG"] or "{}")["model"]["uri"])
    return found


def wait_until_served(name: str, namespace: str, uri: str) -> Manifest:
    """Waits until all pods serve this model, and the status says so."""

    def done() -> bool:
        found = status("cdep", name, namespace)
        says = found.get("model", {}).get("uri") == uri and found.get("phase") == "Deployed"
        return says and served(name, namespace) == {uri}

    kube.wait_for(f"{name} serves {uri}", done, timeout=SECONDS, show=lambda: status("cdep", name, namespace))
    return status("cdep", name, namespace)


@pytest.mark.parametrize("name", ["rolling", "recreated"])
def test_another_model_under_load(deployed: str, name: str) -> None:
    wait_for_phase("cdep", name, deployed, "Deployed", timeout=SECONDS)
    url, draw = address(name, deployed), random.Random(0)
    with (
        load(url, lambda: fast_server.question(draw), workers=2) as new_connections,
        load(url, lambda: fast_server.question(draw), workers=2, pooled=True) as kept_connections,
    ):
        time.sleep(1)
        patch(name, deployed, model={"uri": NEW})
        wait_until_served(name, deployed, NEW)
        time.sleep(2)
    for tally in (new_connections, kept_connections):
        assert tally.requests > 20
        assert (tally.lost, tally.losses) == (0, [])
    assert f"{name}-gateway" not in leads_to(name, deployed)


def test_a_model_that_never_gets_ready_leaves_the_old_one(deployed: str, models: str) -> None:
    old, broken = f"pvc://{models}/tiny", f"pvc://{models}/mute"
    wait_for_phase("cdep", "keeps", deployed, "Deployed", timeout=SECONDS)
    url = address("keeps", deployed)
    before = ask(url, "wheat").json()["data"][0]["probs"]
    patch("keeps", deployed, model={"uri": broken})
    failed = wait_for_phase("cdep", "keeps", deployed, "Failed", timeout=SECONDS)
    assert "tokenizer" in failed["message"], failed["message"]
    assert "keep serving" in failed["message"]
    assert condition(failed, "Stalled").startswith("True/")
    answer = ask(url, "wheat")
    assert answer.json()["data"][0]["probs"] == pytest.approx(before, abs=0.04), "the old model answers"
    patch("keeps", deployed, model={"uri": old})
    wait_until_served("keeps", deployed, old)
    assert ask(url, "wheat").status_code == 200


def test_a_model_that_is_changed_in_its_sleep_is_the_one_that_wakes(deployed: str) -> None:
    wait_until_asleep("dozing", deployed)
    patch("dozing", deployed, model={"uri": NEW})
    kube.wait_for(
        "the change was seen",
        lambda: (
            status("cdep", "dozing", deployed).get("observedGeneration")
            == kube.get("cdep", "dozing", deployed)["metadata"]["generation"]
        ),
        timeout=30,
    )
    stays_asleep("dozing", deployed)
    answer = ask(address("dozing", deployed), "one two")
    assert fast_server.is_right(answer.content, 2), answer.text
    assert served("dozing", deployed) == {NEW}
    assert wait_until_served("dozing", deployed, NEW)["model"]["uri"] == NEW


def test_a_drain_takes_one_pod_of_two_at_a_time(deployed: str) -> None:
    wait_for_phase("cdep", "pair", deployed, "Deployed", timeout=SECONDS)
    (budget,) = kube.items("poddisruptionbudgets", deployed, "classifiers.dev/deployment=pair")
    kube.wait_for(
        "the budget allows one",
        lambda: kube.get("pdb", budget["metadata"]["name"], deployed)["status"].get("disruptionsAllowed") == 1,
        timeout=60,
    )
    url, draw = address("pair", deployed), random.Random(0)
    before = [pod["metadata"]["name"] for pod in pods("pair", deployed)]
    assert len(before) == 2
    with load(url, lambda: fast_server.question(draw), workers=3) as tally:
        evict(before[0], deployed)
        with pytest.raises(kube.CommandError, match="disruption budget"):
            evict(before[1], deployed)
        kube.wait_for(
            "two pods again",
            lambda: status("cdep", "pair", deployed).get("ready") == "2/2" and before[0] not in names_of_pods(deployed),
            timeout=SECONDS,
        )
    assert tally.requests > 20
    assert (tally.lost, tally.losses) == (0, [])
    patch("pair", deployed, replicas=1)
    kube.wait_for(
        "the budget is gone, which would hinder the drain of the only pod",
        lambda: not kube.items("poddisruptionbudgets", deployed, "classifiers.dev/deployment=pair"),
        timeout=60,
    )


def names_of_pods(namespace: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods("pair", namespace)}


def evict(pod: str, namespace: str) -> None:
    """As `kubectl drain` does. Raises kube.CommandError where a budget does not allow it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    kube.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
