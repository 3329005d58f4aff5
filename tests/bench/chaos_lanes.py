"""Deployments that are asked again and again, so that they go to sleep and wake."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.sleep_scene import Model
from support.caller import Caller
from support.stages import Stage, StageWatch
from support.traffic import Answered, Promise, Tally

GOING = (Stage.DRAINING, Stage.ASLEEP)
_LONGEST_WAIT = 180.0


@dataclass
class Lane:
    """One deployment, and those who ask it.

    Attributes:
        timeout: its inactivityTimeout, in seconds.
        promise: what its callers may rely on just now.
        delays: seconds from the last answer to the going of the pods, as they were seen.
    """

    name: str
    url: str
    model: Model
    watch: StageWatch
    draw: random.Random
    fresh: Caller
    pooled: Caller
    timeout: float
    promise: Promise = field(default_factory=Promise)
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=9))
    last_answer: float = 0.0

    async def ask(self, tally: Callable[[], Tally], *, pooled: bool = False) -> Answered:
        """One request; `tally` says, when it has ended, where it is counted."""
        caller = self.pooled if pooled else self.fresh
        answered = await caller.ask(self.url, self.model.question(self.draw), self.promise)
        tally().add(answered)
        self.last_answer = time.monotonic()
        return answered

    @property
    def expected(self) -> float:
        """Seconds from the last answer to the going of the pods, as far as that can be foretold."""
        return statistics.median(self.delays) if self.delays else self.timeout + 1.0

    def learn(self) -> None:
        """Looks at how long it took until the pods went after the last answer, if they did."""
        gone = self.watch.came_to(self.name, GOING, self.last_answer)
        if gone is not None:
            self.delays.append(gone - self.last_answer)

    async def until(self, *stages: Stage, seconds: float = _LONGEST_WAIT) -> None:
        """Waits until it stands at one of these stages. Raises TimeoutError."""
        await self.watch.until(
            lambda: self.watch.stage(self.name) in stages,
            seconds=seconds,
            what=f"{self.name} is {' or '.join(stages)}",
        )

    async def live(self, tally: Callable[[], Tally], stop: asyncio.Event) -> None:
        """Asks at moments around that of its sleep, mostly after it, until it shall stop."""
        while not stop.is_set():
            await self.ask(tally, pooled=self.draw.random() < 0.5)
            pause = self.expected + self.draw.uniform(-2, 5)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.1, pause))
            self.learn()
