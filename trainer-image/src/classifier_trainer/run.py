"""The pipeline of a run, a line a stage, and how it ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from classifier_trainer import stages
from classifier_trainer.checkpoints import Writer
from classifier_trainer.compute import find_compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.rows import Dataset
from classifier_trainer.errors import EXIT_FAILURE, EXIT_TERMINATED, EXIT_USER, Terminated, TransientError, UserError
from classifier_trainer.evaluate.baseline import baseline_accuracy
from classifier_trainer.methods import scores_line, train_head_only, train_lora
from classifier_trainer.output.lock import OutputLock
from classifier_trainer.output.place import output_folder, writing
from classifier_trainer.output.run_json import clear, finished_run, new_run, now, write_run
from classifier_trainer.progress import termination
from classifier_trainer.progress.display import display
from classifier_trainer.progress.endpoint import Endpoint
from classifier_trainer.progress.tracker import Tracker


def run(config: RunConfig, *, port: int) -> int:
    """Runs the configuration to its end and returns the exit code (see `errors`); port 0 serves no progress."""
    tracker = Tracker(display())
    code = EXIT_FAILURE
    try:
        with _serving(port, tracker):
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
        termination.write(tracker.document())
    return code


def pipeline(config: RunConfig, tracker: Tracker) -> None:
    """Everything from the configuration to the finished output.

    Raises:
        UserError: what the user must mend.
        TransientError: what may pass.
    """
    uri, digest = config.output.uri, config.digest()
    output = output_folder(uri, config.mounts)
    if _take_over(finished_run(output, digest, uri, config.output.if_exists), tracker):
        return
    with writing(uri), OutputLock(output, uri, tracker.say):
        if _take_over(finished_run(output, digest, uri, config.output.if_exists), tracker):
            return
        clear(output)
        record = new_run(digest, config.as_set())
        for field in config.hyperparameters.without_effect():
            tracker.warn(f"hyperparameters.{field} has no effect with method HeadOnly")
        compute = find_compute(config.hyperparameters.precision)
        torch.manual_seed(config.hyperparameters.seed)
        dataset = stages.read_data(config, tracker)
        path, backbone = stages.load_model(config, dataset, compute, tracker)
        prepared = stages.prepare(config, dataset, path, backbone, compute, tracker)
        record |= {
            "task": dataset.task,
            "labels": dataset.labels,
            "hyperparameters": stages.resolved_hyperparameters(config, prepared),
        }
        write_run(output, record)
        baseline = _baseline(dataset, config.hyperparameters.seed, tracker)
        writer = Writer(output, config, dataset, prepared, compute, tracker, baseline)
        method = train_head_only if config.hyperparameters.method == "HeadOnly" else train_lora
        metrics = method(config, prepared, compute, writer, tracker)
        _finish(output, record, metrics, tracker)


def _baseline(dataset: Dataset, seed: int, tracker: Tracker) -> float | None:
    if dataset.test is None:
        return None
    tracker.phase("Preparing", "training TF-IDF with a linear SVM for comparison")
    train, test = dataset.train, dataset.test
    found = baseline_accuracy((train.prompts, train.targets), (test.prompts, test.targets), dataset.task, seed)
    tracker.say("no comparison: the set is too large" if found is None else f"TF-IDF with a linear SVM: {found:.4f}")
    return found


def _finish(output: Path, record: dict[str, Any], metrics: dict[str, float], tracker: Tracker) -> None:
    baseline = metrics.get("baselineAccuracy")
    if baseline is not None and baseline > metrics["accuracy"]:
        tracker.warn(
            f"TF-IDF with a linear SVM is better on the test rows: {baseline:.4f} to {metrics['accuracy']:.4f}"
        )
    best = tracker.document()["best"]
    tracker.phase("Succeeded", f"best is {scores_line(best, metrics)}")
    write_run(output, {**record, "outcome": "Succeeded", "completionTime": now(), "progress": tracker.document()})


def _take_over(found: dict[str, Any] | None, tracker: Tracker) -> bool:
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
