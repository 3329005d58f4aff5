"""A tiny training as a process of its own, to be killed.

Saves its state every few updates and on SIGTERM, goes on from it, and leaves losses in metrics.jsonl and the weights in
weights.pt. Where it began, and each finished update, is a line in a file of the caller's.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import torch

from classifier_trainer.errors import EXIT_TERMINATED, Terminated
from classifier_trainer.keeper import Keeper, begin
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.run_json import METRICS, Record
from classifier_trainer.output.store import FolderStore
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train.interrupt import deferred
from classifier_trainer.train.loop import Step
from support.tiny_training import Classifier, budget, tiny_loop

DIGEST = "v1:test"


def train(folder: Path, every: int, said: Path) -> None:
    """Trains to the end, and ends the process."""
    signal.signal(signal.SIGTERM, _terminate)
    torch.set_num_threads(1)
    store, model = FolderStore(str(folder), folder), Classifier(dropout=0.3)
    loop = tiny_loop(model, budget(60))
    keeper = Keeper(store, loop, Tracker(), {"digest": DIGEST}, every=0)
    saved = begin(store, DIGEST)
    Record(store, {}).update(digest=DIGEST)
    if saved is not None:
        keeper.go_on_from(saved, ())
    with said.open("w", buffering=1) as stream:
        stream.write(f"{loop.done}\n")
        said_of: list[Step] = []

        def say() -> None:
            step = loop.last
            if step is None or step in said_of:
                return
            with deferred():
                said_of.append(step)
                with MetricsLog(folder / METRICS) as log:
                    log.write({"step": step.step, "loss": step.loss, "gradNorm": step.grad_norm})
                stream.write(f"{step.step}\n")

        try:
            for step in loop:
                say()
                if step.step % every == 0:
                    keeper.save_if_due()
            torch.save(model.state_dict(), folder / "weights.pt")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        except Terminated:
            say()
            keeper.save()
            sys.exit(EXIT_TERMINATED)


def _terminate(_signal: int, _frame: Any) -> None:
    raise Terminated
