"""The pipeline of a run, a line a stage, and how it ends."""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from classifier_artifacts.classifier_json import read_classifier_json
from classifier_trainer import distributed, stages
from classifier_trainer.checkpoints import Scored, Writer
from classifier_trainer.compute import find_compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.rows import Dataset
from classifier_trainer.errors import EXIT_FAILURE, EXIT_TERMINATED, EXIT_USER, Terminated, TransientError, UserError
from classifier_trainer.evaluate.baseline import Baseline, baseline
from classifier_trainer.keeper import begin
from classifier_trainer.methods import scores_line, train_head_only, train_in_loop
from classifier_trainer.output.atomic import write_json
from classifier_trainer.output.lock import OutputLock
from classifier_trainer.output.place import open_store, writing
from classifier_trainer.output.report import FILE_NAME as REPORT
from classifier_trainer.output.report import write_report
from classifier_trainer.output.run_json import (
    METRICS,
    MODEL,
    PROFILE,
    STATE,
    Record,
    finished_run,
    new_run,
    now,
    read_run,
)
from classifier_trainer.output.store import FolderStore, Store
from classifier_trainer.prepare import Prepared, prepare, profile_with_lengths
from classifier_trainer.progress import termination
from classifier_trainer.progress.display import display
from classifier_trainer.progress.endpoint import Endpoint
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train import state

_CACHE = ".cache"
_BASELINE_SHARE, _BASELINE_SECONDS = 0.1, 60.0
"""How long the baseline may take: this share of what is left of the run, but not less than these seconds."""


def run(config: RunConfig, *, port: int) -> int:
    """Runs the configuration and returns the exit code (see `errors`); port 0 serves no progress.

    Of several processes, as torchrun starts them, the first one writes and speaks.
    """
    main = distributed.is_main()
    tracker = Tracker(display() if main else None)
    code = EXIT_FAILURE
    try:
        with _serving(port if main else 0, tracker):
            distributed.start()
            pipeline(config, tracker)
        code = 0
    except UserError as error:
        tracker.phase("Failed", str(error))
        code = EXIT_USER
    except TransientError as error:
        tracker.phase("Failed", str(error))
    except Terminated:
        tracker.phase("Failed", "stopped by SIGTERM before the end")
        code = EXIT_TERMINATED
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        tracker.phase("Failed", f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]}")
    finally:
        tracker.close()
        # Every pod may be the first to find the user's mistake; of anything else the writing process tells.
        if main or (code == EXIT_USER and distributed.local_rank() == 0):
            termination.write(tracker.document())
        distributed.stop()
    return code


def pipeline(config: RunConfig, tracker: Tracker) -> None:
    """Everything from the configuration to the finished output; together.

    Raises:
        UserError: what the user must mend.
        TransientError: what may pass.
    """
    store = open_store(config.output.uri, config.mounts)
    try:
        with _alone(store, tracker) as check:
            if not distributed.broadcast_object(_is_taken_over(config, store, tracker)):
                _train(config, store, tracker, check)
    finally:
        store.close()


@contextmanager
def _alone(store: Store, tracker: Tracker) -> Iterator[Callable[[], None]]:
    """Holds the output; the block is given what raises when it is not held any more."""
    if not distributed.is_main():
        yield lambda: None
        return
    with writing(store.uri), OutputLock(store.lock_place, store.uri, tracker.say) as lock:
        yield lock.check


def _is_taken_over(config: RunConfig, store: Store, tracker: Tracker) -> bool:
    """Whether the output holds this very run already, finished."""
    found = finished_run(store, config.digest(), config.output.if_exists) if distributed.is_main() else None
    if found is None:
        return False
    document = found.get("progress", {})
    tracker.restore(document)
    tracker.phase(
        "Succeeded",
        f"{document.get('message', 'finished')} (taken over from a run of {found.get('host')}, "
        f"finished {found.get('completionTime')})",
    )
    return True


def _train(config: RunConfig, store: Store, tracker: Tracker, check: Callable[[], None]) -> None:
    chosen = config.hyperparameters
    for field in chosen.without_effect():
        tracker.warn(f"hyperparameters.{field} has no effect with method {chosen.method}")
    saved = _begin(config, store)
    functions = stages.test_functions(config, tracker)
    compute = find_compute(chosen.precision)
    torch.manual_seed(chosen.seed)
    resolved: stages.Resolved = {}
    dataset = stages.read_data(config, tracker, resolved)
    path, backbone = stages.load_model(config, dataset, compute, tracker, resolved)
    with _cache(config, store) as cache:
        prepared = prepare(
            config,
            dataset,
            path,
            backbone,
            compute,
            tracker,
            cache=cache,
            template=saved.record["template"] if saved else None,
            goes_on=saved is not None,
        )
        record = Record(store, (read_run(store) if saved else None) or new_run(config.digest(), config.as_set()))
        found: Baseline | None = None
        if distributed.is_main():
            _describe(store, record, config, dataset, prepared, tracker, resolved)
            record.update(testFunctions={one.metric: one.digest for one in functions})
            found = _baseline(dataset, chosen.seed, tracker)
        writer = Writer(store, record, config, dataset, prepared, compute, tracker, found, functions, check=check)
        if saved is not None:
            writer.restore(saved.update)
        if chosen.method == "HeadOnly":
            train_head_only(config, prepared, writer, tracker)
        else:
            train_in_loop(config, prepared, compute, writer, tracker, saved)
        if distributed.is_main():
            _finish(config, store, record, writer, found, tracker)


def _begin(config: RunConfig, store: Store) -> state.Saved | None:
    """The state to go on from, if the output holds one; else the output is cleared. Together."""
    if distributed.is_main():
        begin(store, config.digest())
    distributed.barrier()
    if not distributed.is_main():
        store.bring(STATE)
    return state.find(store.folder / state.FOLDER)


@contextmanager
def _cache(config: RunConfig, store: Store) -> Iterator[Path]:
    """Where tokens and features are kept: beside the output, for the next attempt; all processes of a pod share it."""
    folder = store.folder / _CACHE
    if not isinstance(store, FolderStore):
        folder = Path(tempfile.gettempdir()) / f"classifier-cache-{config.digest()[-16:]}"
    yield folder
    # Only after a good end: an attempt that follows a bad one begins with it.
    distributed.barrier()
    shutil.rmtree(folder, ignore_errors=True)


def _describe(
    store: Store,
    record: Record,
    config: RunConfig,
    dataset: Dataset,
    prepared: Prepared,
    tracker: Tracker,
    resolved: stages.Resolved,
) -> None:
    profile, warnings = profile_with_lengths(dataset, prepared)
    for warning in warnings:
        tracker.warn(warning)
    write_json(store.folder / PROFILE, profile)
    record.update(
        task=dataset.task,
        labels=dataset.labels,
        resolved=resolved,
        hyperparameters=stages.resolved_hyperparameters(config, prepared),
    )
    store.publish(PROFILE)


def _baseline(dataset: Dataset, seed: int, tracker: Tracker) -> Baseline | None:
    if dataset.test is None:
        return None
    tracker.phase("Preparing", "training TF-IDF with a linear SVM for comparison")
    left = tracker.document()["progress"].get("secondsLeft") or 0.0
    train, test = dataset.train, dataset.test
    with tracker.timed("baseline_seconds"):
        found = baseline(
            (train.prompts, train.targets),
            (test.prompts, test.targets),
            dataset.task,
            seed,
            seconds=max(_BASELINE_SECONDS, _BASELINE_SHARE * left),
        )
    tracker.say(
        "no comparison: it took too long, or the texts have no words"
        if found is None
        else f"{found.name}: accuracy {found.accuracy:.4f}, macro-F1 {found.macro_f1:.4f}"
    )
    return found


def _finish(
    config: RunConfig, store: Store, record: Record, writer: Writer, found: Baseline | None, tracker: Tracker
) -> None:
    best = writer.finish()
    _compare(best, found, tracker)
    tracker.phase("Succeeded", f"best is {scores_line(best)}")
    served = read_classifier_json(store.folder / MODEL)
    if served is not None:
        fields = {"temperature", "temperatures", "thresholds", "calibrated"}
        record.update(calibration=served.model_dump(mode="json", by_alias=True, include=fields))
    store.delete(STATE)
    record.update(outcome="Succeeded", completionTime=now(), progress=tracker.document())
    write_report(store.folder, rows=config.report.rows)
    store.publish(METRICS, REPORT)


def _compare(best: Scored, found: Baseline | None, tracker: Tracker) -> None:
    """A model that loses to TF-IDF is a warning to the user."""
    if found is not None and found.accuracy > best.metrics["accuracy"]:
        tracker.warn(f"{found.name} is better on the test rows: {found.accuracy:.4f} to {best.metrics['accuracy']:.4f}")


@contextmanager
def _serving(port: int, tracker: Tracker) -> Iterator[None]:
    if port == 0:
        yield
        return
    try:
        endpoint = Endpoint(port, tracker.document)
    except OSError as error:
        # Another run on this machine: no reason not to train.
        tracker.say(f"warning: no progress on port {port}: {error.strerror}")
        yield
        return
    with endpoint:
        yield
