"""The stages of a run from the data to the last checkpoint, as a process that can be killed at a chosen place."""

from __future__ import annotations

import json
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from classifier_trainer import checkpoints, distributed, methods, stages
from classifier_trainer.checkpoints import Writer
from classifier_trainer.compute import Compute
from classifier_trainer.config import parse
from classifier_trainer.errors import EXIT_TERMINATED, Terminated
from classifier_trainer.keeper import begin
from classifier_trainer.methods import train_head_only, train_in_loop
from classifier_trainer.output.run_json import Record, new_run, read_run
from classifier_trainer.output.store import FolderStore
from classifier_trainer.prepare import prepare
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train import state

Place = tuple[str, int]
"""`test` or `save` and the number of the call, or `update` and its number, at which the process kills itself."""


def run(content: dict[str, Any], kill: Place | None = None, number: int = signal.SIGKILL) -> Writer:
    """Runs a configuration that writes into a folder; resumes what is there."""
    config = parse(content)
    torch.set_num_threads(1)
    folder = Path(config.output.uri.removeprefix("file://"))
    folder.mkdir(parents=True, exist_ok=True)
    store, tracker, compute = (
        FolderStore(config.output.uri, folder),
        Tracker(),
        Compute(torch.device("cpu"), torch.float32),
    )
    if distributed.is_main():
        begin(store, config.digest())
    distributed.barrier()
    saved = state.find(folder / state.FOLDER)
    torch.manual_seed(config.hyperparameters.seed)
    dataset = stages.read_data(config, tracker)
    path, backbone = stages.load_model(config, dataset, compute, tracker)
    prepared = prepare(config, dataset, path, backbone, compute, tracker, cache=folder / ".cache")
    record = Record(store, (read_run(store) if saved else None) or new_run(config.digest(), config.as_set()))
    if distributed.is_main():
        record.update()
    writer = Writer(store, record, config, dataset, prepared, compute, tracker)
    if saved is not None:
        writer.restore(saved.update)
    if kill is not None:
        _arm(kill, number)
    if config.hyperparameters.method == "HeadOnly":
        train_head_only(config, prepared, writer, tracker)
    else:
        train_in_loop(config, prepared, compute, writer, tracker, saved)
    if distributed.is_main():
        record.update(progress=tracker.document())
        writer.finish()
    return writer


def run_here(content: dict[str, Any], kill: Place | None = None, number: int = signal.SIGKILL) -> None:
    """The same as a process of its own."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run(content, kill, number)
    except Terminated:
        sys.exit(EXIT_TERMINATED)


def run_as_rank(rank: int, folder: Path, content: dict[str, Any]) -> None:
    """The same as one of several processes; says how many updates it did."""
    distributed.start()
    try:
        writer = run(content)
    finally:
        distributed.stop()
    (folder / f"rank-{rank}.json").write_text(json.dumps([one.name for one in writer.written]))


def _arm(kill: Place, number: int) -> None:
    kind, at = kill
    calls = iter(range(1, 10**9))

    def strike(function: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*arguments: Any, **options: Any) -> Any:
            if next(calls) == at:
                os.kill(os.getpid(), number)
            return function(*arguments, **options)

        return struck

    if kind == "test":
        _replace(checkpoints, "predict", strike)
    elif kind == "save":
        _replace(state, "save", strike)
    else:
        _replace(methods, "report", strike)


def _replace(module: types.ModuleType, name: str, by: Callable[[Any], Any]) -> None:
    setattr(module, name, by(getattr(module, name)))


def _terminate(_signal: int, _frame: Any) -> None:
    raise Terminated
