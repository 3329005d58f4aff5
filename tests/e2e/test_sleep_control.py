"""What else decides about awake and asleep: schedules, the number of replicas, autoscaling, and the plugin."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import localcluster
from classifier_operator.plugin import kubectl_classifiers
from e2e.asking import SECONDS, address, ask, held_ms, pods, stays_asleep, wait_until_asleep
from e2e.objects import Manifest, condition, status, wait_for_phase
from support import fast_server, kube
from support.caller import load

pytestmark = pytest.mark.e2e

FAR = {"start": "2999-01-01T00:00:00", "stop": "2999-01-02T00:00:00"}
SCALE = "/apis/classifiers.dev/v1alpha1/namespaces/{}/classifierdeployments/{}/scale"


def schedule(*windows: dict[str, str], outside: str = "Sleep") -> Manifest:
    return {"timeZone": "UTC", "windows": list(windows), "outside": outside}


@pytest.fixture(scope="module")
def deployed(namespace: str, fast_image: str) -> Iterator[str]:
    """All deployments of this module but the one that needs the time of day, applied at once."""

    def fast(name: str, **spec: Any) -> Manifest:
        return fast_server.deployment(name, fast_image, **spec)

    scaling = {"minReplicas": 1, "maxReplicas": 3, "targetInFlight": 2}
    made = [
        fast("outside", schedule=schedule(FAR, outside="WakeOnRequest"), inactivityTimeout="10s"),
        fast("scaled", inactivityTimeout="15s"),
        fast("auto", batch_seconds=0.3, autoscaling=scaling, replicas=5),
        fast("told", inactivityTimeout="1h"),
    ]
    kube.apply(*made, namespace=namespace)
    yield namespace
    for each in made:
        kube.kubectl("delete", "cdep", each["metadata"]["name"], "-n", namespace, "--wait=false")


def test_a_window_opens_and_closes_by_itself(deployed: str, fast_image: str) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=25)
    stop = start + timedelta(seconds=60)
    window = {"start": f"{start:%Y-%m-%dT%H:%M:%S}", "stop": f"{stop:%Y-%m-%dT%H:%M:%S}"}
    kube.apply(fast_server.deployment("windowed", fast_image, schedule=schedule(window)), namespace=deployed)
    before = wait_until_asleep("windowed", deployed)
    assert condition(before, "Awake") == "False/OutsideSchedule"
    assert (before["nextTransition"]["to"], before["nextTransition"]["why"]) == ("Deployed", "schedule")
    assert datetime.fromisoformat(before["nextTransition"]["time"]) == start
    url = address("windowed", deployed)
    refused = ask(url)
    assert refused.status_code == 503
    assert 0 < int(refused.headers["retry-after"]) <= 25
    assert datetime.now(UTC) < start, "all of that was to be seen before the window"

    open_status = wait_for_phase("cdep", "windowed", deployed, "Deployed", timeout=SECONDS)
    assert start <= datetime.now(UTC) < stop
    assert open_status["nextTransition"]["to"] == "Sleeping"
    assert datetime.fromisoformat(open_status["nextTransition"]["time"]) == stop
    answer = ask(url, "one two three")
    assert fast_server.is_right(answer.content, 3), answer.text

    after = wait_until_asleep("windowed", deployed)
    assert datetime.now(UTC) >= stop
    assert "nextTransition" not in after
    refused = ask(url)
    assert refused.status_code == 503
    assert "retry-after" not in refused.headers, "there is no other window"
    stays_asleep("windowed", deployed)


def test_a_request_wakes_it_outside_of_its_schedule(deployed: str) -> None:
    wait_until_asleep("outside", deployed)
    answer = ask(address("outside", deployed), "one two")
    assert fast_server.is_right(answer.content, 2), answer.text
    assert held_ms(answer) is not None
    awake = wait_for_phase("cdep", "outside", deployed, "Deployed", timeout=SECONDS)
    assert condition(awake, "Awake") == "True/WokenByRequest"
    asleep = wait_until_asleep("outside", deployed)
    assert condition(asleep, "Awake") == "False/OutsideSchedule"


def scale_of(name: str, namespace: str) -> Manifest:
    """The scale subresource, as an HPA reads it."""
    found: Manifest = json.loads(kube.kubectl("get", "--raw", SCALE.format(namespace, name)))
    return found


def test_replicas_are_those_of_when_it_is_awake(deployed: str) -> None:
    url, draw = address("scaled", deployed), random.Random(0)
    with load(url, lambda: fast_server.question(draw), workers=1, pause=1) as tally:
        wait_for_phase("cdep", "scaled", deployed, "Deployed", timeout=SECONDS)
        kube.kubectl("scale", "cdep", "scaled", "--replicas=2", "-n", deployed)
        wait_for_ready("scaled", deployed, "2/2")
        assert len(pods("scaled", deployed)) == 2
        scale = scale_of("scaled", deployed)
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
        names = {pod["metadata"]["name"] for pod in kube.items("pods", deployed, scale["status"]["selector"])}
        assert names == {pod["metadata"]["name"] for pod in pods("scaled", deployed)}
    assert (tally.lost, tally.losses) == (0, [])

    assert wait_until_asleep("scaled", deployed)["replicas"] == 0
    assert scale_of("scaled", deployed)["spec"]["replicas"] == 2
    assert scale_of("scaled", deployed)["status"]["replicas"] == 0
    # As an HPA does it, and at an unfortunate time.
    body = json.dumps({"spec": {"replicas": 1}})
    kube.kubectl("patch", "cdep", "scaled", "--subresource=scale", "--type=merge", "-p", body, "-n", deployed)
    stays_asleep("scaled", deployed)
    assert ask(url).status_code == 200
    wait_for_ready("scaled", deployed, "1/1")
    assert len(pods("scaled", deployed)) == 1


def wait_for_ready(name: str, namespace: str, ready: str) -> None:
    """Waits until the pods of a deployment that is up are so many."""
    kube.wait_for(
        f"{name} is {ready}",
        lambda: (found := status("cdep", name, namespace)).get("ready") == ready and found.get("phase") == "Deployed",
        timeout=SECONDS,
        show=lambda: status("cdep", name, namespace),
    )


def test_autoscaling_follows_the_requests_in_flight(deployed: str) -> None:
    wait_for_ready("auto", deployed, "1/1")
    url, draw = address("auto", deployed), random.Random(0)
    with load(url, lambda: fast_server.question(draw), workers=12, pause=0.01) as tally:
        wait_for_ready("auto", deployed, "3/3")
    wait_for_ready("auto", deployed, "1/1")
    kube.wait_for("one pod", lambda: len(pods("auto", deployed)) == 1, timeout=120)
    assert tally.requests > 12
    assert (tally.lost, tally.losses) == (0, [])
    assert kube.get("cdep", "auto", deployed)["spec"]["replicas"] == 5, "nobody else's field is written"


def plugin(*words: str, namespace: str) -> subprocess.CompletedProcess[str]:
    """Runs the plugin as a user does, with kubectl on the path."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(localcluster.kubeconfig_path()),
        "PATH": f"{localcluster.kubectl_path().parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, kubectl_classifiers.__file__, "-n", namespace, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_a_person_sends_it_to_sleep_and_wakes_it(deployed: str) -> None:
    wait_for_phase("cdep", "told", deployed, "Deployed", timeout=SECONDS)
    assert ask(address("told", deployed)).status_code == 200
    time.sleep(1)  # who answered after the wish stays awake
    slept = plugin("sleep", "told", "--wait", namespace=deployed)
    assert slept.returncode == 0, slept.stderr
    wait_until_asleep("told", deployed)
    shown = plugin("status", "told", "-o", "json", namespace=deployed)
    assert json.loads(shown.stdout)["phase"] == "Sleeping", shown.stderr
    woken = plugin("wake", "told", "--wait", namespace=deployed)
    assert woken.returncode == 0, woken.stderr
    assert status("cdep", "told", deployed)["phase"] == "Deployed"
    listed = plugin("status", namespace=deployed)
    assert any(line.split()[:2] == ["told", "Deployed"] for line in listed.stdout.splitlines()), listed.stdout
    refused = plugin("sleep", "auto", namespace=deployed)
    assert refused.returncode == 1
    assert "inactivityTimeout" in refused.stderr
