"""What a wake costs over the start of the pod itself, and what the Service costs while awake.

Run by hand: `make bench NAME=wake`, on a cluster with the operator (`make install`). Rounds alternate: a bare pod of
the same template, asked directly every 20 ms whether it is ready; and a request to a deployment that sleeps. The server
has a made-up model (support.fast_server); with `--real` it has a tiny real one.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import math
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "operator" / "src")]

import aiohttp  # noqa: E402  # the paths above make the script run by itself

from bench.report import Row, write  # noqa: E402
from bench.sleep_scene import FastModel, Model, RealModel, Scene, scene  # noqa: E402
from classifier_operator.api import names  # noqa: E402
from classifier_operator.kube.client import Json  # noqa: E402
from classifier_operator.kube.resources import APP_DEPLOYMENTS, PODS, SERVICES  # noqa: E402
from support import fast_server  # noqa: E402
from support.caller import Caller  # noqa: E402
from support.control_plane import eventually  # noqa: E402
from support.stages import Stage, StageWatch  # noqa: E402
from support.traffic import Promise  # noqa: E402

ROUNDS = 30
LANES = 3
"""In turn: while one is measured the others fall asleep."""
PAIRS = 300
POLL_SECONDS = 0.02
NODE_LAG_SECONDS = 5.0
"""Until every rule of the node follows the last change of the slices."""
PROMISE = Promise(seconds=120)
MOST_OVERHEAD, MOST_TO_POD = 0.3, 0.1
"""What is to be reached, in seconds."""
MOST_RATIO = 1.1


@dataclass
class Measured:
    """All in seconds."""

    bare: list[float] = field(default_factory=list)
    """From a bare pod's creation to its first ready answer."""
    wakes: list[float] = field(default_factory=list)
    """From a request to its answer."""
    to_pod: list[float] = field(default_factory=list)
    """From a request to the pod, as a watch hears of it."""
    ours: dict[str, list[float]] = field(default_factory=dict)
    plain: dict[str, list[float]] = field(default_factory=dict)
    """Of requests to the deployment's Service and to a plain one, by kind of connection."""


async def bare_start(at: Scene, template: Json, number: int) -> float:
    """Seconds from the creation of a pod of this template, on its own, until it first says that it is ready."""
    name = f"bare-{number}"
    body = {"metadata": {"name": name, "labels": {"app": "bare"}}, "spec": template}
    await at.cluster.create(PODS, body)
    begun = time.monotonic()
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            while time.monotonic() - begun < PROMISE.seconds:
                address = (await at.cluster.get(PODS, name)).get("status", {}).get("podIP")
                if address:
                    return await _first_ready(session, address) - begun
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await at.cluster.delete(PODS, name, gracePeriodSeconds=0)
    raise TimeoutError(f"{name} has no address")


async def _first_ready(session: aiohttp.ClientSession, address: str) -> float:
    """When the pod at this address says so, by the monotonic clock."""
    limit = aiohttp.ClientTimeout(total=0.3)
    ends = time.monotonic() + PROMISE.seconds
    while time.monotonic() < ends:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://{address}:9090/ready", timeout=limit) as response:
                if response.status == 200:
                    return time.monotonic()
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"the pod at {address} does not become ready")


async def bare_template(at: Scene, name: str) -> Json:
    """The pod of a deployment without the probes, which a bare pod has no use for."""
    found = await at.cluster.get(APP_DEPLOYMENTS, name)
    spec: Json = copy.deepcopy(found["spec"]["template"]["spec"])
    for container in spec["containers"]:
        for each in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
            container.pop(each, None)
    return spec


async def wake_once(lane: Lane, watch: StageWatch, measured: Measured) -> None:
    """One request to a deployment that sleeps."""
    await watch.until(lambda: watch.stage(lane.name) is Stage.ASLEEP, seconds=180, what=f"{lane.name} sleeps")
    await asyncio.sleep(lane.draw.uniform(0, 0.5))
    begun = time.monotonic()
    answered = await lane.fresh.ask(lane.url, lane.model.question(lane.draw), PROMISE)
    measured.wakes.append(time.monotonic() - begun)
    assert answered.kept, answered
    assert answered.last.held_ms is not None, "the request did not go through the gateway"
    (created,) = [each for each in watch.created[lane.name] if each >= begun]
    measured.to_pod.append(created - begun)


@dataclass
class Lane:
    """A deployment, and who asks it."""

    name: str
    url: str
    model: Model
    draw: random.Random
    fresh: Caller
    pooled: Caller


async def beside_a_plain_service(at: Scene, lane: Lane, measured: Measured) -> None:
    """The same pod through its deployment's Service and through a plain one, alternately, in an order by chance."""
    spec: dict[str, Any] = {
        "selector": names.server_labels(lane.name),
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    }
    await at.cluster.create(SERVICES, {"metadata": {"name": "plain"}, "spec": spec})
    urls = {"ours": lane.url, "plain": await at.url("plain")}

    async def pods_answer() -> bool:
        """Just woken, the Service may still lead to the gateway for a moment."""
        found = [await lane.fresh.ask(url, lane.model.question(lane.draw), PROMISE) for url in urls.values()]
        return all(each.kept and each.last.held_ms is None for each in found)

    await eventually("both Services lead to the pod", pods_answer, seconds=30, pause=0.5)
    await asyncio.sleep(NODE_LAG_SECONDS)
    for kind, caller in (("new", lane.fresh), ("kept", lane.pooled)):
        for _ in range(PAIRS):
            order = lane.draw.sample(sorted(urls), k=2)
            ask = lane.model.question(lane.draw)
            for which in order:
                answered = await caller.ask(urls[which], ask, PROMISE)
                assert answered.kept, answered
                assert answered.last.held_ms is None, "an awake deployment is asked through the gateway"
                getattr(measured, which).setdefault(kind, []).append(answered.last.seconds)


@asynccontextmanager
async def lanes(at: Scene, model: Model) -> AsyncIterator[list[Lane]]:
    wanted = [f"wake-{number}" for number in range(LANES)]
    await at.apply([model.manifest(name, inactivityTimeout="10s") for name in wanted])
    await at.until_phase(wanted, ["Deployed", "Sleeping"], seconds=600)
    urls = {name: await at.url(name) for name in wanted}
    await model.learn(urls[wanted[0]])
    async with AsyncExitStack() as stack:
        made = []
        for number, (name, url) in enumerate(urls.items()):
            fresh, pooled = [await stack.enter_async_context(Caller(pooled=each)) for each in (False, True)]
            made.append(Lane(name, url, model, random.Random(number), fresh, pooled))
        yield made


async def measure(*, real: bool, rounds: int) -> Measured:
    measured = Measured()
    async with scene("bench-wake") as at:
        model: Model = (
            RealModel(await at.claim()) if real else FastModel(await asyncio.to_thread(fast_server.ensure_image))
        )
        async with lanes(at, model) as made, StageWatch(at.cluster) as watch:
            template = await bare_template(at, made[0].name)
            await bare_start(at, template, 0)  # the first is not measured: nothing is in any cache
            for number in range(1, rounds + 1):
                measured.bare.append(await bare_start(at, template, number))
                await wake_once(made[number % LANES], watch, measured)
                over = measured.wakes[-1] - statistics.median(measured.bare)
                print(
                    f"{number}: bare {measured.bare[-1]:.2f} s, wake {measured.wakes[-1]:.2f} s ({over:+.2f}),"
                    f" to the pod {measured.to_pod[-1]:.3f} s",
                    flush=True,
                )
            await beside_a_plain_service(at, made[0], measured)
    return measured


def report(measured: Measured, *, real: bool) -> bool:
    """Writes the table; whether all of it is as it shall be."""
    start = statistics.median(measured.bare)
    over = [each - start for each in measured.wakes]
    median, p99 = statistics.median(over), percentile(over, 0.99)
    to_pod = statistics.median(measured.to_pod)
    ratios = {
        kind: statistics.median(measured.ours[kind]) / statistics.median(measured.plain[kind]) for kind in measured.ours
    }
    ratio = max(ratios.values())
    rows = [
        Row(
            "overhead_median_s",
            f"a wake over the pod's own start, median of {len(over)}",
            round(median, 3),
            "s",
            f"< {MOST_OVERHEAD}",
            median < MOST_OVERHEAD,
        ),
        Row("overhead_p99_s", "the same, p99", round(p99, 3), "s"),
        Row(
            "request_to_pod_s",
            "from the request to the pod's creation, median",
            round(to_pod, 3),
            "s",
            f"< {MOST_TO_POD}",
            to_pod < MOST_TO_POD,
        ),
        Row("pod_start_s", "a bare pod, from its creation to ready, median", round(start, 3), "s"),
        Row("wake_s", "from the request to its answer, median", round(statistics.median(measured.wakes), 3), "s"),
        Row(
            "awake_ratio",
            "latency awake, beside a plain Service of the same pod",
            round(ratio, 3),
            "",
            f"≤ {MOST_RATIO}",
            ratio <= MOST_RATIO,
        ),
    ]
    spread = f"{min(measured.bare):.2f} to {max(measured.bare):.2f} s"
    notes = [
        f"The pod's own start is the median of {len(measured.bare)} bare pods of the same template in the same run, "
        f"each asked directly every {POLL_SECONDS * 1000:.0f} ms from when its address is known ({spread}). The p99 of "
        "the overhead holds the spread of the pods' starts too.",
        "A pod's creation is when a watch of the benchmark's own hears of it.",
        f"Awake: {PAIRS} pairs of requests on new connections and as many on kept ones, in an order by chance; the "
        "worse of both ratios of medians ("
        + ", ".join(f"{kind} {each:.3f}" for kind, each in ratios.items())
        + f"; a plain Service's median is {statistics.median(measured.plain['kept']) * 1000:.1f} ms on kept ones).",
        "Published for the KEDA HTTP add-on, by its users: 0.8 to 1.5 s over the pod's start.",
        f"The server has a {'tiny real' if real else 'made-up'} model.",
    ]
    write(
        "wake_real" if real else "wake",
        title="What a wake costs" + (", with a real model" if real else ""),
        command="python tests/bench/wake.py --real" if real else "make bench NAME=wake",
        rows=rows,
        notes=notes,
    )
    return all(row.kept for row in rows)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="a tiny real model")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    options = parser.parse_args()
    measured = asyncio.run(measure(real=options.real, rounds=options.rounds))
    if not report(measured, real=options.real):
        sys.exit(1)


if __name__ == "__main__":
    main()
