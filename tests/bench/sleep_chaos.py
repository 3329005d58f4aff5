"""Whether a request is ever lost: at the moment of sleep, and when operator, gateway or servers die.

Run by hand: `make bench NAME=sleep_chaos`, on a cluster with the operator (`make install`). Most rounds are of a server
with a made-up model (support.fast_server), some ten deployments side by side; `--real` is a smaller series with a tiny
real one. Each finished round is a line in the cache, and the next call goes on with those that are missing; the table
is written anew after each series. `--fresh` forgets the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "operator" / "src")]

import localcluster  # noqa: E402  # the paths above make the script run by itself
from bench.chaos_lanes import Lane  # noqa: E402
from bench.chaos_record import SERIES, Record, Series  # noqa: E402
from bench.chaos_series import (  # noqa: E402
    CROWD,
    KILLED,
    Chaos,
    gateway_series,
    operator_series,
    server_series,
    sleep_series,
)
from bench.report import Row, write  # noqa: E402
from bench.sleep_scene import FastModel, Model, RealModel, Scene, installed, scene  # noqa: E402
from support import fast_server, install, kube  # noqa: E402
from support.caller import Caller  # noqa: E402
from support.faults import Faults  # noqa: E402
from support.stages import StageWatch  # noqa: E402

INACTIVITY_SECONDS = 10
LOAD_SECONDS = 1.0
"""The made-up model takes so long to load, so that crowds are held for a while."""
SERVER_LANES = 2


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line."""

    rounds: int
    only: Sequence[Series]
    lanes: int
    real: bool
    seed: int
    lease_seconds: float

    @property
    def name(self) -> str:
        return "sleep_chaos_real" if self.real else "sleep_chaos"


def main() -> None:
    plan, fresh = _plan()
    path = _path(plan)
    if fresh:
        path.unlink(missing_ok=True)
    record = Record(path)
    try:
        asyncio.run(run(plan, record))
    finally:
        kept = bool(record.rounds) and report(plan, record)
    if not kept:
        sys.exit(1)


def _plan() -> tuple[Plan, bool]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="a tiny real model, fewer rounds and deployments")
    parser.add_argument("--rounds", type=int, help="rounds of each series (default: 100, with --real 10)")
    parser.add_argument("--only", choices=SERIES, action="append", help="only this series; may be repeated")
    parser.add_argument("--lanes", type=int, help="deployments side by side (default: 10, with --real 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims (default: 0)")
    parser.add_argument(
        "--lease-seconds",
        type=float,
        default=0.0,
        help="let the operator's Lease run out after so long, so that rounds of its death are short; set for the run"
        " and taken back after it (default: as installed)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the rounds of before")
    found = parser.parse_args()
    rounds = found.rounds or (10 if found.real else 100)
    lanes = found.lanes or (3 if found.real else 10)
    only = tuple(found.only or SERIES)
    return Plan(rounds, only, lanes, found.real, found.seed, found.lease_seconds), found.fresh


def _path(plan: Plan) -> Path:
    """The rounds of this very operator: those of another one say nothing about it."""
    version = installed()["operator"].rpartition(":")[2]
    return localcluster.cache_dir() / "bench-sleep" / f"{plan.name}-{version}.jsonl"


async def run(plan: Plan, record: Record) -> None:
    """All series that are not whole yet."""
    wanted = [each for each in plan.only if record.count(each) < plan.rounds]
    if not wanted:
        return
    async with scene("bench-chaos") as at, _lease(plan.lease_seconds):
        model = await _model(plan, at)
        async with StageWatch(at.cluster) as watch:
            draw = random.Random(plan.seed + len(record.rounds))
            chaos = Chaos(at.cluster, watch, Faults(at.client), record, draw, _say)
            sleepers = [each for each in wanted if each != "server"]
            if sleepers:
                async with lanes(at, model, watch, draw, plan.lanes, prefix="lane") as made:
                    for series in sleepers:
                        await _SERIES[series](chaos, made, plan.rounds)
                        report(plan, record)
            if "server" in wanted:
                spec = {"inactivityTimeout": "1h", "replicas": 2}
                async with lanes(at, model, watch, draw, SERVER_LANES, prefix="pair", **spec) as made:
                    await server_series(chaos, made, plan.rounds)
        kills = ", ".join(f"{count} by {way}" for way, count in chaos.faults.kills.items())
        _say(f"kills of this run: {kills or 'none'}")


async def _model(plan: Plan, at: Scene) -> Model:
    if plan.real:
        return RealModel(await at.claim())
    return FastModel(await asyncio.to_thread(fast_server.ensure_image), load_seconds=LOAD_SECONDS)


_SERIES = {"sleep": sleep_series, "operator": operator_series, "gateway": gateway_series}


@asynccontextmanager
async def lanes(
    at: Scene, model: Model, watch: StageWatch, draw: random.Random, count: int, *, prefix: str, **spec: object
) -> AsyncIterator[list[Lane]]:
    """So many deployments, awake; they are deleted at the end."""
    wanted = [f"{prefix}-{number}" for number in range(count)]
    spec = {"inactivityTimeout": f"{INACTIVITY_SECONDS}s", "wake": {"holdTimeout": "4m"}, **spec}
    await at.apply([model.manifest(name, **spec) for name in wanted])
    await at.until_phase(wanted, ["Deployed", "Sleeping"], seconds=600)
    _say(f"{count} deployments are up")
    urls = {name: await at.url(name) for name in wanted}
    await model.learn(urls[wanted[0]])
    async with AsyncExitStack() as stack:
        made = []
        for name, url in urls.items():
            fresh, pooled = [await stack.enter_async_context(Caller(pooled=each)) for each in (False, True)]
            own_draw, timeout = random.Random(draw.random()), float(INACTIVITY_SECONDS)
            made.append(Lane(name, url, model, watch, own_draw, fresh, pooled, timeout))
        yield made
    for name in wanted:
        await asyncio.to_thread(kube.kubectl, "delete", "cdep", name, "-n", at.cluster.namespace, "--wait=false")


@asynccontextmanager
async def _lease(seconds: float) -> AsyncIterator[None]:
    """The operator with another time of its Lease."""
    if not seconds:
        yield
        return

    async def change(value: str) -> None:
        name = f"deployment/{install.RELEASE}"
        at = ("-n", install.NAMESPACE)
        await asyncio.to_thread(kube.kubectl, "set", "env", name, f"CLASSIFIER_LEASE_SECONDS{value}", *at)
        await asyncio.to_thread(kube.kubectl, "rollout", "status", name, *at, "--timeout=180s")

    await change(f"={seconds:g}")
    try:
        yield
    finally:
        await change("-")


def report(plan: Plan, record: Record) -> bool:
    """Writes the table of all rounds so far; whether all of it is as it shall be."""
    total = record.tally()
    rows = [
        Row(
            f"rounds_{series}",
            _WHAT[series],
            (count := record.count(series)),
            "",
            f"≥ {plan.rounds}",
            count >= plan.rounds,
        )
        for series in SERIES
    ]
    rows.append(Row("requests", "requests, each with a right answer of its own", total.requests))
    rows.append(Row("lost", "of them lost", total.lost, "", "0", total.lost == 0))
    what = "real" if plan.real else "made-up"
    notes = [
        "A request is lost unless it ends with its right answer. One try is allowed, and a second, "
        f"{KILLED.pause:.0f} s later, where a connection broke and a gateway or server pod was killed. Where an idle "
        "connection turns out to be closed, the request is sent once more on a new one (RFC 9112, section 9.3.1): "
        f"{total.idle} times.",
        f"Connections that broke and were tried again: {total.broken}. Answers that the gateway held for: {total.held}."
        f" The slowest request took {total.slowest:.1f} s.",
        f"{plan.lanes} deployments side by side, of the server with a {what} model; inactivityTimeout "
        f"{INACTIVITY_SECONDS} s.",
        f"Sleep: each round is a request on a new and one on a used connection at the moment of sleep, told by the "
        f"clock, by the gateway's slice, or by the pods' going: {_list(record.kinds('sleep'))}. It found the "
        f"deployment {_list(record.where('sleep'))}.",
        f"Operator: killed at the step {_list(record.kinds('operator'))}; all deployments then: "
        f"{_list(record.where('operator'))}. Another one worked after "
        f"{_spread(record.facts('operator', 'absent_s'))} s.",
        f"Gateway: {_list(record.kinds('gateway'))}; {CROWD} requests at once, of which the victim held "
        f"{_spread(record.facts('gateway', 'held'))}.",
        f"Servers: {_list(record.kinds('server'))}, one of two under load.",
    ]
    if plan.lease_seconds:
        notes.append(f"The operator's Lease ran out after {plan.lease_seconds:g} s instead of 15.")
    notes += [f"Lost: {words}" for words in total.losses]
    write(
        plan.name,
        title="Sleep and wake under chaos" + (", with a real model" if plan.real else ""),
        command="make bench NAME=sleep_chaos" if not plan.real else "python tests/bench/sleep_chaos.py --real",
        rows=rows,
        notes=notes,
    )
    return all(row.kept for row in rows)


_WHAT: dict[Series, str] = {
    "sleep": "requests at the moment of sleep",
    "operator": "the operator killed while deployments go to sleep or wake",
    "gateway": "a gateway pod killed or stopped while it holds a crowd",
    "server": "one of two server pods killed or stopped under load",
}


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):g} to {max(values):g}" if values else "none"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
