"""What became of each round of the chaos: a line of JSON a round, appended at once, so that a run can go on later."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from support.traffic import Tally

Series = Literal["sleep", "operator", "gateway", "server"]
SERIES: Sequence[Series] = get_args(Series)


REST = "rest"
"""Kind of what is no round: requests that ended after the last one."""


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        kind: what was done, in a word or two.
        where: where the deployments stood at that moment: how many at which stage.
        tally: the requests that ended since the round before.
        facts: figures of this kind of round.
    """

    series: Series
    kind: str
    tally: Tally
    where: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def line(self) -> str:
        content = {"series": self.series, "kind": self.kind, "where": dict(self.where), "facts": dict(self.facts)}
        return json.dumps({**content, "tally": self.tally.figures()})

    @classmethod
    def read(cls, line: str) -> Round:
        content: dict[str, Any] = json.loads(line)
        return cls(**{**content, "tally": Tally.of_figures(content["tally"])})


class Record:
    """The rounds in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rounds: list[Round] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            # A line that was being written when the machine lost power is no round.
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            self.rounds = [Round.read(line) for line in whole]
            path.write_text("".join(whole))

    def add(self, made: Round) -> None:
        with self._path.open("a") as stream:
            stream.write(f"{made.line()}\n")
        self.rounds.append(made)

    def count(self, series: Series, kinds: Iterable[str] = ()) -> int:
        """How many rounds there are of a series, or of some kinds of it."""
        wanted = frozenset(kinds)
        kinds_of = [each.kind for each in self.rounds if each.series == series and each.kind != REST]
        return sum(not wanted or kind in wanted for kind in kinds_of)

    def tally(self, *series: Series) -> Tally:
        """Everything that was counted, in all series or in some."""
        total = Tally()
        for each in self.rounds:
            if not series or each.series in series:
                total.absorb(each.tally)
        return total

    def where(self, series: Series) -> dict[str, int]:
        """At which stages the rounds of a series found deployments, over all rounds."""
        total: Counter[str] = Counter()
        for each in self.rounds:
            if each.series == series:
                total.update(each.where)
        return dict(total.most_common())

    def kinds(self, series: Series) -> dict[str, int]:
        """How many rounds there are of each kind."""
        found = Counter(each.kind for each in self.rounds if each.series == series and each.kind != REST)
        return dict(found.most_common())

    def facts(self, series: Series, name: str) -> list[float]:
        """A figure of each round that has it."""
        return [each.facts[name] for each in self.rounds if each.series == series and name in each.facts]
