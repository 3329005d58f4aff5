"""What the process tells: liveness, metrics, and a line in the log for each phase."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier_operator.kube.resources import TRAINING_JOBS
from support.builders import training_job_manifest
from support.control_plane import Cluster, eventually
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def operator(cluster: Cluster, kubeconfig: Path, tmp_path: Path, ports: tuple[int, int]) -> Iterator[OperatorProcess]:
    liveness, metrics = ports
    settings: dict[str, Any] = {"namespace": cluster.namespace, "metrics_port": metrics}
    made = OperatorProcess(kubeconfig, tmp_path / "operator.log", liveness_port=liveness, **settings)
    yield made
    made.stop()


async def test_liveness_metrics_and_log(cluster: Cluster, operator: OperatorProcess, ports: tuple[int, int]) -> None:
    await cluster.create(TRAINING_JOBS, training_job_manifest("news", suspend=True))

    async def suspended() -> bool:
        status = (await cluster.get(TRAINING_JOBS, "news")).get("status") or {}
        return status.get("phase") == "Suspended"

    await eventually("the job is suspended", suspended, seconds=30)
    async with httpx.AsyncClient() as client:
        healthy = await client.get(f"http://127.0.0.1:{ports[0]}/healthz")
        metrics = (await client.get(f"http://127.0.0.1:{ports[1]}/metrics")).text.splitlines()
    assert healthy.status_code == 200
    assert "classifier_operator_is_leader 1.0" in metrics
    assert "classifier_operator_queue_depth 0.0" in metrics
    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in metrics if not line.startswith("#")}
    kind = 'kind="ClassifierTrainingJob"'
    assert figures[f'classifier_operator_reconcile_total{{{kind},result="success"}}'] >= 1
    assert figures[f"classifier_operator_reconcile_seconds_count{{{kind}}}"] >= 1
    assert figures[f"classifier_operator_status_writes_total{{{kind}}}"] >= 1
    log = operator.log()
    assert f"ClassifierTrainingJob {cluster.namespace}/news: Suspended, suspended" in log
    assert "Traceback" not in log
