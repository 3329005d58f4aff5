"""How the stage of a deployment follows from what the API server says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifier_operator.kube.resources import APP_DEPLOYMENTS, ENDPOINT_SLICES, PODS
from classifier_operator.kube.trim import SLICE_MANAGER_LABEL
from support.faults import is_ready, is_rolled_out, processes, series_sum
from support.stages import Stage, View


def deployment(replicas: int) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"replicas": replicas}}


def endpoints(name: str, manager: str, *ready: bool | None) -> dict[str, Any]:
    conditions = [{} if each is None else {"ready": each} for each in ready]
    metadata = {"name": name, "labels": {SLICE_MANAGER_LABEL: manager}}
    return {"metadata": metadata, "endpoints": [{"conditions": each} for each in conditions]}


THEIRS = "endpointslice-controller.k8s.io"
OURS = endpoints("a-gateway", "classifier-operator", True)


@pytest.mark.parametrize(
    ("replicas", "ready", "ours", "pods", "stage"),
    [
        (1, [True], False, 1, Stage.AWAKE),
        (2, [True, False], False, 2, Stage.AWAKE),
        (1, [None], False, 1, Stage.AWAKE),
        (1, [True], True, 1, Stage.BOTH),
        (0, [True], True, 1, Stage.DRAINING),
        (0, [False], True, 1, Stage.DRAINING),
        (0, [], True, 0, Stage.ASLEEP),
        (1, [], True, 0, Stage.STARTING),
        (1, [False], True, 1, Stage.STARTING),
        (1, [False], False, 1, Stage.NOBODY),
        (0, [], False, 0, Stage.NOBODY),
        (0, [False], False, 1, Stage.NOBODY),
    ],
)
def test_stage(replicas: int, ready: list[bool | None], ours: bool, pods: int, stage: Stage) -> None:
    view = View()
    view.see(APP_DEPLOYMENTS, deployment(replicas), gone=False)
    view.see(ENDPOINT_SLICES, endpoints("a-x7k", THEIRS, *ready), gone=False)
    if ours:
        view.see(ENDPOINT_SLICES, OURS, gone=False)
    for number in range(pods):
        view.see(PODS, {"metadata": {"name": f"pod-{number}"}}, gone=False)
    assert view.stage is stage


def test_what_is_gone_counts_no_more() -> None:
    view = View()
    view.see(APP_DEPLOYMENTS, deployment(1), gone=False)
    view.see(ENDPOINT_SLICES, OURS, gone=False)
    view.see(ENDPOINT_SLICES, endpoints("a-x7k", THEIRS, True), gone=False)
    view.see(ENDPOINT_SLICES, OURS, gone=True)
    stages = [view.stage]
    view.see(ENDPOINT_SLICES, endpoints("a-x7k", THEIRS, True), gone=True)
    assert [*stages, view.stage] == [Stage.AWAKE, Stage.NOBODY]


def test_processes_of_a_pod_are_found_by_its_uid(tmp_path: Path) -> None:
    uid = "11111111-2222-3333-4444-555555555555"
    other = uid.replace("1", "9")
    for number, (path, name) in enumerate(
        [
            (f"4:memory:/kubepods/burstable/pod{uid}/abc", "python3"),
            (f"4:memory:/kubepods/burstable/pod{uid}/def", "pause"),
            (f"4:memory:/kubepods/burstable/pod{other}/ghi", "python3"),
            (f"0::/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/cri-jkl.scope", "python3"),
            ("0::/user.slice", "bash"),
        ]
    ):
        folder = tmp_path / str(100 + number)
        folder.mkdir()
        (folder / "cgroup").write_text(f"{path}\n")
        (folder / "comm").write_text(f"{name}\n")
    (tmp_path / "99").mkdir()  # it ended while we looked
    (tmp_path / "self").mkdir()
    assert processes(uid, tmp_path) == [100, 103]


METRICS = """\
# HELP held Requests
held{name="a",namespace="n"} 3.0
held{name="b",namespace="n"} 4.0
held_total{name="a",namespace="n"} 50.0
plain 1.5e+02
"""


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [("held", {}, 7), ("held", {"name": "a"}, 3), ("held", {"name": "c"}, 0), ("plain", {}, 150), ("none", {}, 0)],
)
def test_series_sum(name: str, labels: dict[str, str], value: float) -> None:
    assert series_sum(METRICS, name, labels) == value


def test_ready_pods_and_finished_rollouts() -> None:
    pod: dict[str, Any] = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert is_ready(pod)
    assert not is_ready({**pod, "metadata": {"deletionTimestamp": "now"}})
    assert not is_ready({"metadata": {}, "status": {}})
    done = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    whole: dict[str, Any] = {"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": done}
    assert is_rolled_out(whole)
    assert not is_rolled_out({**whole, "status": {**done, "observedGeneration": 2}})
    assert not is_rolled_out({**whole, "status": {**done, "updatedReplicas": 1}})
    assert not is_rolled_out({**whole, "status": {**done, "replicas": 3}})
