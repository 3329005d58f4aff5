"""How fast and how surely the operator makes Jobs: against etcd and an API server, without kubelets.

Run by hand: `python tests/bench/reconcile.py`.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "operator" / "src")]

import localcluster  # noqa: E402  # the paths above make the script run by itself
from bench.report import Row, write  # noqa: E402
from classifier_operator.kube.client import KubeClient  # noqa: E402
from classifier_operator.kube.resources import BATCH_JOBS, TRAINING_JOBS  # noqa: E402
from support.builders import training_job_manifest  # noqa: E402
from support.control_plane import (  # noqa: E402
    Cluster,
    CreationCounter,
    endless_watch,
    ensure_kinds,
    eventually,
    own_namespace,
)
from support.kill_run import Killed, kill_run  # noqa: E402
from support.operator_process import OperatorProcess  # noqa: E402

ONE_AFTER_THE_OTHER = 100
AT_ONCE = 1000
KILLS = 25
LEASE_SECONDS = 15
PARALLEL_POSTS = 50


async def leading(cluster: Cluster, lease: str) -> None:
    """Waits until the operator holds its Lease and has made a first Job."""
    await cluster.create(TRAINING_JOBS, training_job_manifest("warm-up", suspend=True))

    async def made() -> bool:
        return bool(await cluster.list(BATCH_JOBS))

    await eventually(f"a first Job under the Lease {lease}", made, seconds=60)


@asynccontextmanager
async def operator(cluster: Cluster, kubeconfig: Path, folder: Path) -> AsyncIterator[OperatorProcess]:
    settings: dict[str, Any] = {"namespace": cluster.namespace, "lease_seconds": LEASE_SECONDS}
    process = OperatorProcess(kubeconfig, folder / "operator.log", **settings)
    try:
        await leading(cluster, cluster.namespace)
        yield process
    finally:
        process.stop()


async def one_after_the_other(cluster: Cluster) -> list[float]:
    """Seconds from the POST of an object to the event of its Job, for each of 100."""
    arrived: dict[str, float] = {}
    at = (await cluster.client.request("GET", BATCH_JOBS.path(cluster.namespace)))["metadata"]["resourceVersion"]

    async def watch() -> None:
        async for event in endless_watch(cluster.client, BATCH_JOBS.path(cluster.namespace), at):
            owner = event["object"]["metadata"]["ownerReferences"][0]["name"]
            arrived.setdefault(owner, time.perf_counter())

    watching = asyncio.create_task(watch())
    seconds = []
    for number in range(ONE_AFTER_THE_OTHER):
        name = f"one-{number}"
        begin = time.perf_counter()
        await cluster.create(TRAINING_JOBS, training_job_manifest(name, suspend=True))
        while name not in arrived:  # noqa: ASYNC110  # a dict has no event
            await asyncio.sleep(0.001)
        seconds.append(arrived[name] - begin)
    watching.cancel()
    return seconds


async def all_at_once(cluster: Cluster, process: OperatorProcess) -> tuple[float, float]:
    """Seconds from the first POST to the last of 1000 Jobs and statuses, and the operator's largest memory in MiB."""
    slots = asyncio.Semaphore(PARALLEL_POSTS)
    largest = 0.0
    done: set[str] = set()
    at = (await cluster.client.request("GET", TRAINING_JOBS.path(cluster.namespace)))["metadata"]["resourceVersion"]

    async def watch() -> None:
        async for event in endless_watch(cluster.client, TRAINING_JOBS.path(cluster.namespace), at):
            value = event["object"]
            if value.get("status", {}).get("phase") == "Suspended" and value["metadata"]["name"].startswith("all-"):
                done.add(value["metadata"]["name"])

    async def post(number: int) -> None:
        async with slots:
            await cluster.create(TRAINING_JOBS, training_job_manifest(f"all-{number}", suspend=True))

    watching = asyncio.create_task(watch())
    begin = time.perf_counter()
    posting = asyncio.gather(*(post(number) for number in range(AT_ONCE)))
    while len(done) < AT_ONCE:
        largest = max(largest, process.rss_mib())
        await asyncio.sleep(0.02)
        if time.perf_counter() - begin > 120:
            raise TimeoutError(f"{len(done)} of {AT_ONCE} after 120 s")
    seconds = time.perf_counter() - begin
    await posting
    watching.cancel()
    jobs = [job for job in await cluster.list(BATCH_JOBS) if job["spec"]["suspend"]]
    assert len([job for job in jobs if job["metadata"]["ownerReferences"][0]["name"].startswith("all-")]) == AT_ONCE
    return seconds, largest


async def measure(kubeconfig: Path, folder: Path) -> tuple[list[float], float, float, int, Killed]:
    """Seconds of each single object and of the burst, memory in MiB, second Jobs, and what the kills did."""
    client = await KubeClient.connect(connections=PARALLEL_POSTS + 10, kubeconfig=str(kubeconfig))
    try:
        await ensure_kinds(client)
        async with (
            own_namespace(client, "bench") as cluster,
            operator(cluster, kubeconfig, folder) as process,
            CreationCounter(cluster, BATCH_JOBS) as counter,
        ):
            ones = await one_after_the_other(cluster)
            burst, memory = await all_at_once(cluster, process)
            counter.check()
            second = counter.second
        async with own_namespace(client, "bench") as cluster:
            killed = await kill_run(cluster, kubeconfig, folder, kills=KILLS, seed=0)
        return ones, burst, memory, second, killed
    finally:
        await client.close()


async def main() -> None:
    kubeconfig = Path(os.environ.get("BENCH_KUBECONFIG") or localcluster.kubeconfig_path(control_plane=True))
    with tempfile.TemporaryDirectory() as folder:
        ones, burst, memory, second, killed = await measure(kubeconfig, Path(folder))
    p99 = sorted(ones)[math.ceil(0.99 * len(ones)) - 1]
    median = statistics.median(ones)
    second += killed.second_jobs
    rows = [
        Row("one_p99_s", f"one object to its Job, p99 of {len(ones)} in a row", round(p99, 4), "s", "< 0.5", p99 < 0.5),
        Row("one_median_s", "the same, median", round(median, 4), "s"),
        Row("burst_1000_s", f"{AT_ONCE} objects at once to their Jobs", round(burst, 2), "s", "< 10", burst < 10),
        Row("operator_rss_mib", "largest memory of the operator", round(memory, 1), "MiB", "< 200", memory < 200),
        Row("kills", "SIGKILLs at random moments of a run", killed.kills, "", "≥ 20", killed.kills >= 20),
        Row("second_jobs", "Jobs beyond the first of an object", second, "", "0", second == 0),
        Row("killed_different", "objects that ended otherwise", len(killed.different), "", "0", not killed.different),
    ]
    notes = [
        "etcd, the API server, the operator and the benchmark share the machine's cores.",
        "The burst counts from the first POST of an object to the last status that says Suspended.",
        f"After the kills {killed.finished} of {killed.objects} objects had reached their end.",
    ]
    write("reconcile", title="Reconciling", command="python tests/bench/reconcile.py", rows=rows, notes=notes)
    if not all(row.kept for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    asyncio.run(main())
