"""Test functions: the built-in ones, and the user's own Python, which is run in a process of its own.

That process has an empty environment, an empty working directory, a limit of memory and of time, and no open file but
its three pipes, so that a mistake in the function cannot end or starve the training. It is no security boundary: it
runs as the same user in the same container, and reads what the trainer can read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_trainer.errors import UserError
from classifier_trainer.evaluate.scores import BASELINE_HEADLINE, HEADLINE
from classifier_trainer.evaluate.user_process import Order, run_child

BUILTINS = {"SampleMatchCombined": "sampleMatchCombined", "LabelMatch": "labelMatch"}
"""Name in the configuration to name of the metric."""
SECONDS = 60.0
SECONDS_A_ROW = 0.01
MEMORY = 4 << 30
"""Bytes of address space."""
_MAX_SOURCE = 1 << 20


@dataclass(frozen=True)
class Function:
    """A test function: built in (`file` is None), or `name` of the user's file."""

    name: str
    """SampleMatchCombined or LabelMatch, or the name of the function and of its metric."""
    file: Path | None = None
    address: str = ""
    """How messages call the file; default its name."""

    @property
    def metric(self) -> str:
        """Its name in metrics.json."""
        return BUILTINS.get(self.name, self.name) if self.file is None else self.name

    @property
    def digest(self) -> str | None:
        """`sha256:<hex>` of the user's file for run.json; None for a built-in function."""
        return None if self.file is None else f"sha256:{hashlib.sha256(self.file.read_bytes()).hexdigest()}"


@dataclass(frozen=True)
class Results:
    """Rows and what the checkpoint makes of them; the columns of the arrays [n, k] are `labels`."""

    labels: Sequence[str]
    prompts: Sequence[str]
    expected: npt.NDArray[np.int8]
    predicted: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[np.float64]
    lines: Sequence[int] | None = None
    """Line of each row in its file, for messages."""


@dataclass(frozen=True)
class Outcome:
    """What came of a function: its mean over the rows, or the sentence that says what is wrong with it."""

    name: str
    value: float | None
    error: str | None
    seconds: float
    printed: str = ""
    """What the function printed, clipped, for the log."""

    def document(self) -> dict[str, object]:
        """For metrics.json."""
        return {"value": self.value} if self.error is None else {"error": self.error}


def check(functions: Sequence[Function]) -> None:
    """Refuses what no checkpoint is needed for to refuse: names that are taken, files that are no text or not there.

    Raises:
        UserError: in one sentence.
    """
    taken = {name.lower() for name in (*BUILTINS.values(), *HEADLINE, *BASELINE_HEADLINE)}
    for function in functions:
        if function.file is None:
            if function.name not in BUILTINS:
                raise UserError(f"testFunctions: builtin {function.name} is not known: write {' or '.join(BUILTINS)}.")
            continue
        if function.name.lower() in taken:
            raise UserError(
                f"testFunctions: {function.name} is the name of a metric that is built in: call yours otherwise."
            )
        try:
            size = function.file.stat().st_size
        except OSError as error:
            raise UserError(f"testFunctions: {_shown(function)} cannot be read: {error.strerror}.") from error
        if size > _MAX_SOURCE:
            raise UserError(f"testFunctions: {_shown(function)} is larger than 1 MiB: write name.py alone in it.")
        if (wrong := run_function(function, NO_ROWS).error) is not None:
            raise UserError(f"testFunctions: {wrong}.")


def run_functions(functions: Sequence[Function], results: Results) -> list[Outcome]:
    """The outcome of each function; the mistakes of one are nothing to the others."""
    return [run_function(function, results) for function in functions]


def run_function(
    function: Function,
    results: Results,
    *,
    seconds: float = SECONDS,
    seconds_a_row: float = SECONDS_A_ROW,
    memory: int = MEMORY,
) -> Outcome:
    """Mean of the function over the rows. Whatever is wrong with it is the outcome's `error`, and nothing is raised.

    Rows are streamed to the process, so that a million of them are never there twice. Without rows the file is loaded
    and its signature checked, and the value is None.
    """
    start = time.monotonic()
    if function.file is None:
        return Outcome(function.metric, _built_in(function.name, results), None, time.monotonic() - start)
    file = _shown(function)
    try:
        source = function.file.read_bytes()
    except OSError as error:
        return Outcome(function.name, None, f"{file} cannot be read: {error.strerror}", time.monotonic() - start)
    order = Order(
        source=source,
        file=Path(file).name,
        name=function.name,
        labels=list(results.labels),
        memory=memory,
        seconds=seconds + seconds_a_row * len(results.prompts),
    )
    answer, printed = run_child(
        order,
        zip(results.prompts, results.expected, results.predicted, results.probabilities, strict=True),
    )
    spent = time.monotonic() - start
    if "error" not in answer and not answer.get("timeLimit"):
        return Outcome(function.name, answer["value"], None, spent, printed)
    text = str(answer.get("error", ""))
    if answer.get("timeLimit"):
        text = f"it took longer than its limit of {order.seconds:g} s for {len(results.prompts)} rows: make it faster"
    return Outcome(function.name, None, f"{file}{_place(answer, results)}: {text}", spent, printed)


NO_ROWS = Results(
    labels=[],
    prompts=[],
    expected=np.zeros((0, 0), dtype=np.int8),
    predicted=np.zeros((0, 0), dtype=np.bool_),
    probabilities=np.zeros((0, 0)),
)


def _built_in(name: str, results: Results) -> float | None:
    """SampleMatchCombined: share of the rows that are right as a whole. LabelMatch: mean share of a row's labels."""
    right = results.expected.astype(np.bool_) == results.predicted
    if right.size == 0:
        return None
    return float(right.all(axis=1).mean() if name == "SampleMatchCombined" else right.mean())


def _place(answer: dict[str, object], results: Results) -> str:
    """ ", line 3, in row 7 (line 9 of the data)"."""
    line, row = answer.get("line"), answer.get("row")
    text = f", line {line}" if line else ""
    if isinstance(row, int) and row > 0:
        text += f", in row {row}"
        if results.lines is not None and row <= len(results.lines):
            text += f" (line {int(results.lines[row - 1])} of the data)"
    return text


def _shown(function: Function) -> str:
    return function.address or (function.file.name if function.file is not None else function.name)
