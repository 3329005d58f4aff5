"""The four series of the chaos: sleep, and the deaths of operator, gateway and servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.chaos_lanes import GOING, Lane
from bench.chaos_record import REST, Record, Round, Series
from classifier_operator.api import names
from classifier_operator.kube.client import Json
from support.caller import steady
from support.control_plane import Cluster, eventually
from support.faults import Faults, metric
from support.stages import Stage, StageWatch
from support.traffic import Promise, Tally

CROWD = 120
"""Requests at once, so that each of two gateways holds some 60."""
ROLL_EVERY = 10
"""Every so often the whole gateway is rolled, instead of one of its pods being stopped."""
_STEPS = (Stage.BOTH, Stage.DRAINING, Stage.ASLEEP, Stage.STARTING, Stage.AWAKE)
STOPPED = Promise(seconds=240)
"""Whoever is stopped in order loses nothing."""
KILLED = Promise(seconds=240, tries=2)
"""Who was connected to what was killed has the answer at the second try."""


@dataclass
class Chaos:
    """What all series need.

    Attributes:
        tally: requests that ended since the last round.
    """

    cluster: Cluster
    watch: StageWatch
    faults: Faults
    record: Record
    draw: random.Random
    say: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)

    def counted(self) -> Tally:
        """The tally of now, for requests that end later."""
        return self.tally

    def end_round(self, series: Series, kind: str, *, where: Counter[str] | None = None, **facts: float) -> None:
        """Writes down a round, with all requests that have ended since the one before."""
        made = Round(series, kind, self.tally, dict(where or {}), facts)
        self.tally = Tally()
        self.record.add(made)
        lost = f", LOST {made.tally.lost}: {made.tally.losses}" if made.tally.lost else ""
        self.say(f"{series} {self.record.count(series)}: {kind} {dict(made.where)} {facts or ''}{lost}")

    def end_series(self, series: Series) -> None:
        """Writes down the requests that ended after the last round."""
        if self.tally.requests:
            self.record.add(Round(series, REST, self.tally))
            self.tally = Tally()

    def stages(self, lanes: Sequence[Lane]) -> Counter[str]:
        """How many of them stand where."""
        return Counter(self.watch.stage(lane.name).value for lane in lanes)


_WAKES, _WAKE_SECONDS = 10, 20.0


@asynccontextmanager
async def living(chaos: Chaos, lanes: Sequence[Lane], promise: Promise) -> AsyncIterator[None]:
    """The lanes are asked as long as the block lasts, and all have had their answers after it."""
    stop = asyncio.Event()
    for lane in lanes:
        lane.promise = promise
    tasks = [asyncio.create_task(lane.live(chaos.counted, stop)) for lane in lanes]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


# -- sleep ------------------------------------------------------------------------------------------------------------


async def sleep_series(chaos: Chaos, lanes: Sequence[Lane], rounds: int) -> None:
    """Each lane goes to sleep again and again, and is asked at that very moment."""
    aims = itertools.cycle(("clock", "slice", "pods"))
    left = iter(range(rounds - chaos.record.count("sleep")))

    async def one(lane: Lane) -> None:
        lane.promise = STOPPED
        for _ in left:  # shared: whichever lane is free takes the next
            await _sleep_round(chaos, lane, next(aims))

    await asyncio.gather(*(one(lane) for lane in lanes))


async def _sleep_round(chaos: Chaos, lane: Lane, aim: str) -> None:
    """One request on a new connection, and one on a connection that was used before, at the moment of sleep.

    Args:
        aim: what that moment is told by: the clock (2 seconds before to 2 seconds after the expected one), the
            appearance of the gateway's slice, or the order that the pods shall go.
    """
    tally, draw = Tally(), lane.draw
    await _wake(lane, tally)
    awake = time.monotonic()
    if aim == "clock":
        await asyncio.sleep(max(0.0, lane.last_answer + lane.expected + draw.uniform(-2, 2) - time.monotonic()))
    else:
        signs = GOING if aim == "pods" else (Stage.BOTH, *GOING)
        await chaos.watch.until(
            lambda: chaos.watch.came_to(lane.name, signs, awake) is not None,
            seconds=lane.timeout + 120,
            what=f"{lane.name} goes to sleep",
        )
        await asyncio.sleep(draw.uniform(0, 2.0 if aim == "pods" else 0.5))
    lane.learn()
    where = Counter({chaos.watch.stage(lane.name).value: 1})
    await asyncio.gather(lane.ask(lambda: tally), lane.ask(lambda: tally, pooled=True))
    chaos.tally.absorb(tally)
    chaos.end_round("sleep", aim, where=where)


async def _wake(lane: Lane, tally: Tally) -> None:
    """Asks until the lane is awake: a pod that drains may still answer, and wakes nobody."""
    for _ in range(_WAKES):
        await lane.ask(lambda: tally, pooled=True)
        with contextlib.suppress(TimeoutError):
            await lane.until(Stage.AWAKE, seconds=_WAKE_SECONDS)
            return
    raise TimeoutError(f"{lane.name} was asked {_WAKES} times and is {lane.watch.stage(lane.name)}")


# -- the operator -----------------------------------------------------------------------------------------------------


async def operator_series(chaos: Chaos, lanes: Sequence[Lane], rounds: int) -> None:
    """The operator is killed when a lane has just come to a step of going to sleep or waking, each step in turn."""
    async with living(chaos, lanes, STOPPED):
        for number in range(chaos.record.count("operator"), rounds):
            pod = await chaos.faults.operator()
            await asyncio.sleep(chaos.draw.uniform(0, 2))
            step = _STEPS[number % len(_STEPS)]
            reached = await _reached(chaos, lanes, step)
            await asyncio.sleep(chaos.draw.uniform(0, 0.4))
            where = chaos.stages(lanes)
            await chaos.faults.kill_operator(pod)
            begun = time.monotonic()
            await chaos.faults.operator()
            absent = round(time.monotonic() - begun, 1)
            chaos.end_round("operator", step.value if reached else "any", where=where, absent_s=absent)
    chaos.end_series("operator")


async def _reached(chaos: Chaos, lanes: Sequence[Lane], step: Stage) -> bool:
    since = time.monotonic()

    def come() -> bool:
        return any(chaos.watch.came_to(lane.name, (step,), since) is not None for lane in lanes)

    with contextlib.suppress(TimeoutError):
        await chaos.watch.until(come, seconds=60, what=f"a lane is {step}")
        return True
    return False


# -- the gateway ------------------------------------------------------------------------------------------------------


async def gateway_series(chaos: Chaos, lanes: Sequence[Lane], rounds: int) -> None:
    """A gateway pod goes while it holds a crowd: first in order, or all of them one by one; then by a kill."""
    phases = ((("stopped", "rolled"), STOPPED, rounds - rounds // 2), (("killed",), KILLED, rounds // 2))
    for kinds, promise, wanted in phases:
        done = chaos.record.count("gateway", kinds)
        if done >= wanted:
            continue
        # Some live on by themselves, on the way through whichever gateway there is; the crowds come to the others.
        crowded, alive = lanes[: len(lanes) // 2 or 1], lanes[len(lanes) // 2 or 1 :]
        for lane in crowded:
            lane.promise = promise
        async with living(chaos, alive, promise):
            for number in range(done, wanted):
                kind = kinds[-1] if number % ROLL_EVERY == ROLL_EVERY - 1 else kinds[0]
                await _gateway_round(chaos, crowded, kind)
    chaos.end_series("gateway")


async def _gateway_round(chaos: Chaos, lanes: Sequence[Lane], kind: str) -> None:
    lane = await _asleep(chaos, lanes)
    victim = chaos.draw.choice(await chaos.faults.gateways())
    where = chaos.stages(lanes)
    crowd = asyncio.gather(*(lane.ask(chaos.counted) for _ in range(CROWD)))
    await asyncio.sleep(chaos.draw.uniform(0.3, 1.2))
    held = await metric(victim, "classifier_gateway_held", {"name": lane.name, "namespace": chaos.cluster.namespace})
    if kind == "rolled":
        await chaos.faults.roll_gateway()
    elif kind == "stopped":
        await chaos.faults.stop_gateway(victim)
    else:
        await chaos.faults.kill_gateway(victim)
    await crowd
    await chaos.faults.gateways()
    chaos.end_round("gateway", kind, where=where, held=held)


async def _asleep(chaos: Chaos, lanes: Sequence[Lane]) -> Lane:
    """A lane that sleeps, as soon as there is one: the one that has slept longest."""
    await chaos.watch.until(
        lambda: any(chaos.watch.stage(lane.name) is Stage.ASLEEP for lane in lanes),
        seconds=lanes[0].timeout + 120,
        what="a lane sleeps",
    )
    return min((lane for lane in lanes if chaos.watch.stage(lane.name) is Stage.ASLEEP), key=lambda x: x.last_answer)


# -- the servers ------------------------------------------------------------------------------------------------------


async def server_series(chaos: Chaos, lanes: Sequence[Lane], rounds: int) -> None:
    """One of two server pods goes under load: first in order, then by a kill. The lanes are of two replicas each."""
    for kind, promise, wanted in (("stopped", STOPPED, rounds - rounds // 2), ("killed", KILLED, rounds // 2)):
        left = iter(range(wanted - chaos.record.count("server", [kind])))
        await asyncio.gather(*(_server_rounds(chaos, lane, kind, promise, left) for lane in lanes))
    chaos.end_series("server")


async def _server_rounds(chaos: Chaos, lane: Lane, kind: str, promise: Promise, left: Iterator[int]) -> None:
    """Under a load of callers on new connections, and of ones that keep theirs."""
    stop = asyncio.Event()

    async def load(pooled: bool) -> None:
        await steady(
            lane.pooled if pooled else lane.fresh,
            lambda: lane.url,
            lambda: lane.model.question(lane.draw),
            lambda: promise,
            chaos.counted,
            workers=2,
            pause=0.05,
            stopped=stop.is_set,
        )

    loads = [asyncio.create_task(load(pooled)) for pooled in (False, True)]
    try:
        for _ in left:  # shared: whichever lane is free takes the next
            await _server_round(chaos, lane, kind)
    finally:
        stop.set()
        await asyncio.gather(*loads)


async def _server_round(chaos: Chaos, lane: Lane, kind: str) -> None:
    before = await _servers(chaos, lane)
    await asyncio.sleep(chaos.draw.uniform(0.5, 2))
    victim = chaos.draw.choice(before)
    await (chaos.faults.stop if kind == "stopped" else chaos.faults.kill)(chaos.cluster, victim)
    await _servers(chaos, lane, without=victim["metadata"]["uid"])
    chaos.end_round("server", kind)


async def _servers(chaos: Chaos, lane: Lane, *, without: str = "") -> list[Json]:
    """Both pods of a lane, once they are ready and the Service leads to both."""

    async def both() -> list[Json] | None:
        pods = await chaos.faults.pods(chaos.cluster, f"{names.DEPLOYMENT_LABEL}={lane.name}")
        there = len(pods) == 2 and all(pod["metadata"]["uid"] != without for pod in pods)
        return pods if there and sum(chaos.watch.view(lane.name).ready.values()) == 2 else None

    found: list[Json] = await eventually(f"{lane.name} has two pods", both, seconds=180, pause=0.2)
    return found
