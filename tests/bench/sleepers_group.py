"""Deployments with a common schedule: they are switched, asked, and rolled over, all at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.sleep_scene import Scene
from bench.sleepers_watch import follow_roll
from classifier_operator.kube.client import MERGE_PATCH, Json
from classifier_operator.kube.resources import DEPLOYMENTS
from support import fast_server
from support.caller import Caller, steady
from support.faults import Faults
from support.stages import Stage, StageWatch
from support.traffic import Promise, Tally

ON_FOR = timedelta(minutes=3)
SAMPLE = 30
"""So many are asked at once."""
IDLE_SECONDS = 30
"""inactivityTimeout where a request may wake them outside of the schedule."""
FAR = {"start": "2999-01-01T00:00:00", "stop": "2999-01-02T00:00:00"}
LATER = Promise(seconds=60, later=True)
ANSWERED = Promise(seconds=240)
_PATCH_SECONDS = 45
"""A window begins at the first minute that is at least so far away, so that all have heard of it."""
_ASK_EVERY_SECONDS = 10
_AWAKE = (Stage.STARTING, Stage.BOTH, Stage.AWAKE)
_GONE = (Stage.DRAINING, Stage.ASLEEP)
_TOO_EARLY_SECONDS = 0.5


class Sleepers:
    """The deployments, and what is done with them."""

    def __init__(self, at: Scene, watch: StageWatch, wanted: Sequence[str], urls: dict[str, str]) -> None:
        self._at = at
        self._watch = watch
        self._names = list(wanted)
        self._urls = urls
        self._draw = random.Random(0)
        self.tally = Tally()
        self.figures: dict[str, float] = {}

    async def patch(self, schedule: Json, **spec: Any) -> None:
        """Gives all of them another schedule."""
        slots = asyncio.Semaphore(20)

        async def one(name: str) -> None:
            async with slots:
                path = DEPLOYMENTS.path(self._at.cluster.namespace, name)
                body = {"spec": {"schedule": schedule, **spec}}
                await self._at.client.request("PATCH", path, body=body, content_type=MERGE_PATCH)

        await asyncio.gather(*(one(name) for name in self._names))

    async def switch(self, outside: str, key: str) -> None:
        """One window for all; how long the last one takes to follow its beginning and its end."""
        idle = {"inactivityTimeout": f"{IDLE_SECONDS}s"} if outside == "WakeOnRequest" else {}
        start = next_minute(datetime.now(UTC) + timedelta(seconds=_PATCH_SECONDS))
        window = {"start": f"{start:%Y-%m-%dT%H:%M:%S}", "stop": f"{start + ON_FOR:%Y-%m-%dT%H:%M:%S}"}
        await self.patch({"timeZone": "UTC", "windows": [window, FAR], "outside": outside}, **idle)
        assert datetime.now(UTC) < start, "the patches took too long"
        on = monotonic_of(start)
        gone_by = off = on + ON_FOR.total_seconds()
        self.figures[f"{key}_on_s"] = await self._followed(_AWAKE, on, ON_FOR.total_seconds())
        await self._all(Stage.AWAKE, seconds=ON_FOR.total_seconds())
        self.figures[f"{key}_ready_s"] = round(time.monotonic() - on, 1)
        await self.ask(self._draw.sample(self._names, SAMPLE), ANSWERED)
        while idle and time.monotonic() < off:  # or they would fall asleep within the window, as they should
            await asyncio.sleep(min(_ASK_EVERY_SECONDS, max(0.0, off - time.monotonic())))
            # One is enough: they all have the statistics of the one server that answers for them.
            await self.ask(self._draw.sample(self._names, 1), ANSWERED)
            gone_by = time.monotonic() + IDLE_SECONDS
        self.figures[f"{key}_off_s"] = await self._followed(_GONE, gone_by, 120)
        await self._all(Stage.ASLEEP, seconds=120)

    async def ask(self, wanted: Iterable[str], promise: Promise) -> None:
        """A request to each of them, all at once."""
        async with Caller() as caller:
            asked = (caller.ask(self._urls[name], fast_server.question(self._draw), promise) for name in wanted)
            for answered in await asyncio.gather(*asked):
                self.tally.add(answered)

    async def roll(self, faults: Faults, *, woken: Sequence[str] = ()) -> float:
        """Rolls the gateway, while sleepers are asked, until the old pods are gone.

        Args:
            woken: these are woken one after the other meanwhile; without any, sleepers that nothing wakes are drawn by
                chance and asked again and again.

        Returns:
            Seconds until all Services lead to the new pods alone.
        """
        stop = asyncio.Event()
        async with Caller() as caller, asyncio.TaskGroup() as group:
            if woken:
                group.create_task(self._wake(woken))
            else:
                urls = list(self._urls.values())
                group.create_task(
                    steady(
                        caller,
                        lambda: self._draw.choice(urls),
                        lambda: fast_server.question(self._draw),
                        lambda: LATER,
                        lambda: self.tally,
                        workers=4,
                        pause=0.02,
                        stopped=stop.is_set,
                    )
                )
            try:
                seconds = await follow_roll(self._at, faults, len(self._names))
            finally:
                stop.set()
        return round(seconds, 1)

    async def _wake(self, wanted: Sequence[str]) -> None:
        for name in wanted:
            await self.ask([name], ANSWERED)

    async def asleep(self) -> None:
        """Waits until all are."""
        await self._all(Stage.ASLEEP, seconds=IDLE_SECONDS + 120)

    async def _followed(self, stages: Sequence[Stage], since: float, seconds: float) -> float:
        """Seconds from a time until the last of them came to one of these stages. Raises TimeoutError."""

        def late() -> list[str]:
            return [name for name in self._names if self._watch.came_to(name, stages, since - 1) is None]

        limit = since + seconds - time.monotonic()
        await self._watch.until(lambda: not late(), seconds=limit, what=f"all come to {stages}")
        moments = [self._watch.came_to(name, stages, since - 1) or 0.0 for name in self._names]
        assert min(moments) >= since - _TOO_EARLY_SECONDS, "some switched too early"
        return round(max(moments) - since, 1)

    async def _all(self, stage: Stage, *, seconds: float) -> None:
        await self._watch.until(
            lambda: all(self._watch.stage(name) is stage for name in self._names), seconds=seconds, what=f"all {stage}"
        )


def next_minute(when: datetime) -> datetime:
    """The first full minute that is not before a time."""
    full = when.replace(second=0, microsecond=0)
    return full if full == when else full + timedelta(minutes=1)


def monotonic_of(when: datetime) -> float:
    """A time of day by the monotonic clock of now."""
    return time.monotonic() + when.timestamp() - time.time()
