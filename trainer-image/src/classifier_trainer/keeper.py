"""Saves where a training is, so that a killed one goes on from there, and goes on from what was saved."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from classifier_trainer import distributed
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.run_json import METRICS, clear, unfinished_run
from classifier_trainer.output.store import Store
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train import state
from classifier_trainer.train.loop import Loop
from classifier_trainer.train.state import FOLDER, Saved


class Keeper:
    """The states of one run; every rank has one, and only rank 0's writes."""

    def __init__(
        self,
        store: Store,
        loop: Loop,
        tracker: Tracker,
        facts: Mapping[str, Any],
        *,
        every: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Saves at most every `every` seconds, with the `facts` that must not change in between (JSON)."""
        self._store, self._loop, self._tracker, self._facts = store, loop, tracker, facts
        self._every, self._clock = every, clock
        self._last = clock()
        self._saved: int | None = None

    def go_on_from(self, saved: Saved, checkpoints: Collection[str]) -> None:
        """Brings the loop, the log of metrics and the progress to where they were; together.

        `checkpoints` are the names of those that run.json knows.
        """
        self._loop.restore(saved.tensors())
        self._saved = saved.update
        if distributed.is_main():
            cut_log(self._store.folder / METRICS, saved.record["metricsBytes"], checkpoints)
            self._tracker.resume(saved.record["tracker"])

    def save(self) -> None:
        """Saves where the loop is, if it has not been saved yet; together, if the model is sharded."""
        if self._saved == self._loop.done:
            return
        self._last = self._clock()
        tensors = self._loop.state() if self._loop.sharded or distributed.is_main() else {}
        if distributed.is_main():
            state.save(self._store.folder / FOLDER, tensors, self._record())
            self._store.mirror(FOLDER)
        self._saved = self._loop.done

    def save_if_due(self) -> None:
        """Saves if it is time to; together."""
        due = distributed.is_main() and self._clock() - self._last >= self._every
        if self._loop.sharded:
            due = bool(distributed.agree(due)[0])
        if due:
            self.save()

    def save_record(self) -> None:
        """Notes what else was done (a checkpoint) since the loop was saved."""
        if distributed.is_main():
            state.save_record(self._store.folder / FOLDER, self._record())
            self._store.mirror(FOLDER)

    def _record(self) -> dict[str, Any]:
        with MetricsLog(self._store.folder / METRICS) as log:
            offset = log.offset
        return {**self._facts, "metricsBytes": offset, "tracker": self._tracker.state()}


def cut_log(path: Path, offset: int, checkpoints: Collection[str]) -> None:
    """Cuts metrics.jsonl to what it was when the state was saved, so that the curves have no seam.

    A checkpoint that run.json knows was written for good, even if nobody came to save that any more: its line stays.
    One that run.json does not know yet is tested and told anew.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        stream.seek(offset)
        tail = stream.read().splitlines()
    kept = []
    for line in tail:
        try:
            found = json.loads(line)
        except ValueError:
            continue  # cut off in the middle
        if found.get("checkpoint") in checkpoints:
            kept.append(found)
    with MetricsLog(path, offset) as log:
        for line in kept:
            log.write(line)


def begin(store: Store, digest: str) -> Saved | None:
    """Makes the output ready for a run of this digest: what can be gone on from stays, the rest is cleared.

    Only rank 0 may call it; the others look for the state afterwards.
    """
    folder = store.folder / FOLDER
    found = unfinished_run(store, digest)
    saved = None if found is None else state.find(folder)
    if saved is not None and saved.record.get("digest") == digest:
        return saved
    tokens = state.token_budget(folder)
    clear(store)
    if tokens is not None:
        state.save_token_budget(folder, tokens)
    return None
