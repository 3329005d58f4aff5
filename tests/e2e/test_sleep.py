"""A deployment goes to sleep and wakes: its life as users and callers see it, on the real node."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.asking import (
    PATH,
    SECONDS,
    address,
    ask,
    gateway_ips,
    get,
    health_checks,
    held_ms,
    leads_to,
    patch,
    pods,
    stays_asleep,
    wait_until_asleep,
)
from e2e.objects import Manifest, condition, deployment, status, wait_for_phase
from support import fast_server, kube
from support.caller import ask_once
from support.faults import processes
from support.traffic import Promise

pytestmark = pytest.mark.e2e

KEYS_SECONDS = {False: 60, True: 120}
"""A changed Secret is in force after so many seconds, by whether the deployment is awake: a kubelet may take a minute
and a half to hand it to the pods."""


def secret(name: str, **values: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.fixture(scope="module")
def deployed(namespace: str, models: str, fast_image: str) -> Iterator[str]:
    """All deployments of this module, applied at once."""
    made = [
        deployment("life", model={"uri": f"pvc://{models}/tiny"}, inactivityTimeout="15s"),
        fast_server.deployment("keyed", fast_image, inactivityTimeout="10s", auth={"apiKeySecretName": "keyed-keys"}),
        fast_server.deployment("polite", fast_image, inactivityTimeout="10s"),
        fast_server.deployment("closed", fast_image, inactivityTimeout="10s", wake={"onRequest": False}),
        fast_server.deployment("paused", fast_image),
        fast_server.deployment("crashing", fast_image, load_seconds=6, batch_seconds=2),
    ]
    kube.apply(secret("keyed-keys", one="first"), *made, namespace=namespace)
    yield namespace
    for each in made:
        kube.kubectl("delete", "cdep", each["metadata"]["name"], "-n", namespace, "--wait=false")


def test_life(deployed: str) -> None:
    wait_for_phase("cdep", "life", deployed, "Deployed", timeout=SECONDS)
    url = address("life", deployed)
    with health_checks(url, "/health", "/ready", "/metrics") as checks:
        # Awake: no detour.
        before = ask(url, "wheat harvest")
        assert before.status_code == 200, before.text
        assert held_ms(before) is None
        (pod,) = pods("life", deployed)
        assert set.union(*leads_to("life", deployed).values()) == {pod["status"]["podIP"]}
        upcoming = wait_for_next("life", deployed)
        assert (upcoming["to"], upcoming["why"]) == ("Sleeping", "idle")
        assert upcoming["display"].startswith("Sleeping ")

        # Asleep, though it is asked how it is twice a second.
        asleep = wait_until_asleep("life", deployed)
        assert (asleep["replicas"], asleep["ready"]) == (0, "0/0")
        assert condition(asleep, "Awake") == "False/Idle"
        assert condition(asleep, "Stalled").startswith("False/")
        assert "next request wakes it" in asleep["message"]
        assert "nextTransition" not in asleep
        leads = leads_to("life", deployed)
        assert leads.pop("life-gateway") <= gateway_ips()
        assert not any(leads.values())
        assert [get(url, path).status_code for path in ("/health", "/ready", "/metrics")] == [200, 503, 503]
        stays_asleep("life", deployed)
    assert ("/ready", 200) in checks
    assert ("/ready", 503) in checks
    assert {code for path, code in checks if path == "/health"} == {200}, "a health check met nobody"

    # Woken: the same answer at the same URL.
    woken = ask(url, "wheat harvest")
    assert woken.status_code == 200, woken.text
    assert (held_ms(woken) or 0) > 0
    for name, probability in woken.json()["data"][0]["probs"].items():
        assert probability == pytest.approx(before.json()["data"][0]["probs"][name], abs=0.04)
    awake = wait_for_phase("cdep", "life", deployed, "Deployed", timeout=SECONDS)
    assert awake["wakeSeconds"] > 0
    assert awake["url"] == asleep["url"]
    assert condition(awake, "Awake") == "True/Active"
    assert "lastRequestTime" in awake
    (again,) = pods("life", deployed)
    assert again["metadata"]["uid"] != pod["metadata"]["uid"]
    assert set.union(*leads_to("life", deployed).values()) == {again["status"]["podIP"]}
    assert held_ms(ask(url, "wheat harvest")) is None


def wait_for_next(name: str, namespace: str) -> Manifest:
    """The next transition of its status, once it has one."""
    kube.wait_for(
        f"{name} has a next transition", lambda: "nextTransition" in status("cdep", name, namespace), timeout=30
    )
    found: Manifest = status("cdep", name, namespace)["nextTransition"]
    return found


def test_only_who_has_a_key_wakes_it(deployed: str) -> None:
    wait_until_asleep("keyed", deployed)
    url = address("keyed", deployed)
    assert ask(url).status_code == 401
    assert ask(url, **{"X-API-Key": "wrong"}).status_code == 401
    assert ask(url, Authorization="Bearer wrong").status_code == 401
    stays_asleep("keyed", deployed)
    woken = ask(url, **{"X-API-Key": "first"})
    assert woken.status_code == 200, woken.text
    assert held_ms(woken) is not None
    assert fast_server.is_right(woken.content, 1)
    wait_for_phase("cdep", "keyed", deployed, "Deployed", timeout=SECONDS)
    assert ask(url, **{"X-API-Key": "wrong"}).status_code == 401
    assert ask(url, Authorization="Bearer first").status_code == 200


@pytest.mark.parametrize("awake", [True, False])
def test_a_changed_key_comes_into_force(deployed: str, awake: bool) -> None:
    url = address("keyed", deployed)
    old, new = ("first", "second") if awake else ("second", "third")
    if awake:
        patch("keyed", deployed, inactivityTimeout="1h")
        assert ask(url, **{"X-API-Key": old}).status_code == 200
        wait_for_phase("cdep", "keyed", deployed, "Deployed", timeout=SECONDS)
    else:
        patch("keyed", deployed, inactivityTimeout="10s")
        wait_until_asleep("keyed", deployed)
    kube.apply(secret("keyed-keys", one=new), namespace=deployed)
    kube.wait_for(
        "the new key is taken",
        lambda: ask(url, **{"X-API-Key": new}).status_code == 200,
        timeout=KEYS_SECONDS[awake],
        every=1,
    )
    assert ask(url, **{"X-API-Key": old}).status_code == 401


def test_who_does_not_want_to_wait_is_told_when_to_come_again(deployed: str) -> None:
    wait_until_asleep("polite", deployed)
    url = address("polite", deployed)
    answer = ask(url, Prefer="respond-async")
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    # It wakes nevertheless, without another request.
    wait_for_phase("cdep", "polite", deployed, "Deployed", timeout=SECONDS)
    assert ask(url).status_code == 200


def test_what_shall_not_wake_on_request_sleeps_on(deployed: str) -> None:
    asleep = wait_until_asleep("closed", deployed)
    assert "next request wakes it" not in asleep["message"]
    answer = ask(address("closed", deployed))
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers, "nothing will ever wake it"
    stays_asleep("closed", deployed)


def test_suspended(deployed: str) -> None:
    wait_for_phase("cdep", "paused", deployed, "Deployed", timeout=SECONDS)
    url = address("paused", deployed)
    assert ask(url).status_code == 200
    patch("paused", deployed, suspend=True)
    wait_for_phase("cdep", "paused", deployed, "Suspended", timeout=SECONDS)
    kube.wait_for("no pods", lambda: not pods("paused", deployed), timeout=120)
    answer = ask(url)
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers
    assert "suspended" in answer.text
    assert not pods("paused", deployed)
    patch("paused", deployed, suspend=False)
    wait_for_phase("cdep", "paused", deployed, "Deployed", timeout=SECONDS)
    assert ask(url).status_code == 200


def test_the_only_pod_is_killed_under_a_client(deployed: str) -> None:
    wait_for_phase("cdep", "crashing", deployed, "Deployed", timeout=SECONDS)
    url = address("crashing", deployed)
    (pod,) = pods("crashing", deployed)
    with ThreadPoolExecutor(1) as threads:
        # The server computes for two seconds, and breaks off in the middle.
        asked = threads.submit(ask_once, url, fast_server.ask(5), Promise(seconds=SECONDS, tries=20, pause=1))
        kube.wait_for("the request is in flight", lambda: in_flight(pod) > 0, timeout=30, every=0.05)
        kill(pod, deployed)
        answered = asked.result(SECONDS + 30)
    assert answered.kept, answered
    assert len(answered.tries) > 1
    assert answered.last.held_ms is not None, "who comes after the crash is held until the server is back"
    wait_for_phase("cdep", "crashing", deployed, "Deployed", timeout=SECONDS)
    assert "crashing-gateway" not in leads_to("crashing", deployed)


def in_flight(pod: Manifest) -> int:
    """Requests that a server pod works on; it is asked at its own address."""
    found: int = get(f"http://{pod['status']['podIP']}:9090", "/stats").json()["inFlight"]
    return found


def kill(pod: Manifest, namespace: str) -> None:
    """Kills the pod's processes where this machine is the node, else deletes the pod by force."""
    for number in (found := processes(pod["metadata"]["uid"])):
        os.kill(number, signal.SIGKILL)
    if not found:
        name = pod["metadata"]["name"]
        kube.kubectl("delete", "pod", name, "-n", namespace, "--force", "--grace-period=0")


def test_what_is_no_inference_request_neither_wakes_nor_is_lost(deployed: str) -> None:
    wait_until_asleep("polite", deployed)
    url = address("polite", deployed)
    assert get(url, "/").status_code == 200
    assert get(url, "/v1/models").status_code == 200
    assert get(url, PATH).status_code == 405
    assert get(url, "/nowhere").status_code == 404
    stays_asleep("polite", deployed)
