"""How much of a run is done and how long the rest will take. Pure: time comes in as seconds that were spent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

Kind = Literal[
    "template",
    "features",
    "head_seconds",
    "baseline_seconds",
    "training",
    "validation",
    "test",
    "functions",
    "writing",
    "work",
]
"""What a run does. The unit of `head_seconds` (its fit) and `baseline_seconds` is a second that they are thought to
take; that of `functions` (the user's own) and `writing` is a checkpoint; that of all others is the reading of one
token, and a token that is trained on counts as three. `work` is for whoever does not tell kinds apart."""

SECONDS: frozenset[Kind] = frozenset({"head_seconds", "baseline_seconds"})
_FORWARD: frozenset[Kind] = frozenset({"template", "features", "validation", "test"})
_TOKENS: frozenset[Kind] = _FORWARD | {"training", "work"}
_AFTER: Mapping[Kind, tuple[Kind, ...]] = {
    "features": ("template",),
    "training": ("template", "features"),
    "validation": ("template", "features"),
    "test": ("template", "features"),
}
"""What is surely over once a kind of work is seen, also where it turned out to be less than planned."""
_PIECES = 6.0
"""Pieces of a kind's own that weigh as much as what is known of similar work: one piece alone is mostly noise."""
_MEMORY = 0.25
"""Share of a kind's planned work over which its rate fades: a machine that turns slow is noticed, noise is not."""


_Seen = tuple[float, float, float]
"""Units, the seconds they took, and in how many pieces."""


class _Rate:
    """Seconds a unit takes, with the old fading. The first piece of work (compilers, caches) is kept apart."""

    def __init__(self) -> None:
        self.first: _Seen | None = None
        self._units = self._seconds = self._pieces = 0.0

    def add(self, units: float, seconds: float, memory: float) -> None:
        if self.first is None:
            self.first = units, seconds, 1.0
            return
        kept = math.exp(-units / memory) if memory > 0 else 1.0
        self._units = self._units * kept + units
        self._seconds = self._seconds * kept + seconds
        self._pieces = self._pieces * kept + 1

    @property
    def later(self) -> _Seen | None:
        """All others."""
        return (self._units, self._seconds, self._pieces) if self._units > 0 else None


class Work:
    """The planned work of a run by kind, what of it is done, and what a unit of each takes on this machine."""

    def __init__(self) -> None:
        self._planned: dict[Kind, float] = {}
        self._done: dict[Kind, float] = {}
        self._rates: dict[Kind, _Rate] = {}
        self._before: dict[Kind, float] = {}  # seconds a unit took before the run was resumed
        self._percent = 0.0

    @property
    def percent(self) -> float:
        """0 to 100; it only rises."""
        return self._percent

    @property
    def planned(self) -> bool:
        """Whether anything is known of the run's work."""
        return bool(self._planned)

    def plan(self, units: Mapping[Kind, float]) -> None:
        """Sets the whole run's work of these kinds, and leaves other kinds as they are."""
        self._planned |= {kind: max(0.0, value) for kind, value in units.items()}

    def advance(self, kind: Kind, units: float, seconds: float) -> None:
        """Counts work that was done in that time."""
        for earlier in _AFTER.get(kind, ()):
            self._done[earlier] = max(self._done.get(earlier, 0.0), self._planned.get(earlier, 0.0))
        if units <= 0:
            return
        self._rates.setdefault(kind, _Rate()).add(units, seconds, _MEMORY * self._planned.get(kind, 0.0))
        before = self.rest(kind)
        self._done[kind] = self._done.get(kind, 0.0) + units
        # By what is left, not by what was planned: a plan that changes bends the line and never turns it back.
        step = (before - self.rest(kind)) * self._weight(kind)
        left = sum(self.rest(other) * self._weight(other) for other in self._planned)
        if step > 0:
            self._percent += (100.0 - self._percent) * step / (step + left)

    def rest(self, kind: Kind) -> float:
        """Units of that kind that are left."""
        return max(0.0, self._planned.get(kind, 0.0) - self._done.get(kind, 0.0))

    def seconds_of(self, kind: Kind, units: float) -> float:
        """Seconds these units will take; 0 where nothing is known of them."""
        return units * (self._seconds_per_unit(kind) or 0.0)

    def seconds_left(self) -> float | None:
        """Seconds until the end; None while no rate is known."""
        total = 0.0
        for kind in self._planned:
            if rest := self.rest(kind):
                rate = self._seconds_per_unit(kind)
                if rate is None and kind in _TOKENS:
                    return None
                total += rest * (rate or 0.0)
        return total

    def state(self) -> dict[str, Any]:
        """JSON for `resume` of a later process."""
        seen = {kind for kind, rate in self._rates.items() if rate.later or kind not in _TOKENS} | self._before.keys()
        rates = {kind: rate for kind in sorted(seen) if (rate := self._seconds_per_unit(kind)) is not None}
        return {"percent": self._percent, "done": dict(self._done), "secondsPerUnit": rates}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Goes on from there. The rates hold until this machine has shown its own."""
        self._percent = max(self._percent, float(state.get("percent", 0.0)))
        self._done |= _known(state.get("done", {}))
        self._before |= _known(state.get("secondsPerUnit", {}))

    def _weight(self, kind: Kind) -> float:
        """Forward tokens that a unit is worth."""
        if kind in _TOKENS:
            return 1.0
        token = self._any_token()
        return (self._seconds_per_unit(kind) or 0.0) / token if token else 0.0

    def _seconds_per_unit(self, kind: Kind) -> float | None:
        rate = self._rates.get(kind)
        if kind in _TOKENS:
            otherwise = self._before.get(kind) or self._similar(kind)
            return _blend([rate.later] if rate else [], otherwise)
        seen = rate and (rate.later or rate.first)
        if seen:
            return seen[1] / seen[0]
        return self._before.get(kind, 1.0 if kind in SECONDS else None)

    def _similar(self, kind: Kind) -> float | None:
        """What is known of other tokens, of those that are only read first where this kind only reads."""
        return _blend(self._later(_FORWARD - {kind}) if kind in _FORWARD else [], self._any_token())

    def _any_token(self) -> float | None:
        # A first piece is often much slower than the rest, so it counts only while there is nothing else.
        if found := _blend(self._later(_TOKENS), None):
            return found
        before = [self._before[kind] for kind in _TOKENS if kind in self._before]
        if before:
            return sum(before) / len(before)
        return _blend([rate.first for kind, rate in self._rates.items() if kind in _TOKENS], None)

    def _later(self, kinds: Iterable[Kind]) -> list[_Seen | None]:
        return [self._rates[kind].later for kind in kinds if kind in self._rates]


def _blend(seen: Iterable[_Seen | None], otherwise: float | None) -> float | None:
    """Seconds a unit: what was seen, the fewer pieces of it the nearer to `otherwise`."""
    known = [part for part in seen if part is not None]
    if not known:
        return otherwise
    units, seconds, pieces = (math.fsum(column) for column in zip(*known, strict=True))
    if otherwise is None:
        return seconds / units
    doubt = units * _PIECES / pieces
    return (seconds + doubt * otherwise) / (units + doubt)


def _known(values: Mapping[str, Any]) -> dict[Kind, float]:
    return {kind: float(values[kind]) for kind in get_args(Kind) if kind in values}
