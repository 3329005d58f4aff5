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
from classifier_trainer.compute import Compute, find_compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.batches import updates
from classifier_trainer.data.rows import Dataset
from classifier_trainer.errors import EXIT_FAILURE, EXIT_TERMINATED, EXIT_USER, Terminated, TransientError, UserError
from classifier_trainer.evaluate.baseline import baseline_accuracy
from classifier_trainer.model.closed_form import Array
from classifier_trainer.model.features import set_head
from classifier_trainer.model.lora import add_adapter, prepared_for_training, save_adapter
from classifier_trainer.model.start import closed_form_head
from classifier_trainer.output.lock import OutputLock
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.place import output_folder, writing
from classifier_trainer.output.run_json import METRICS, clear, finished_run, new_run, now, write_run
from classifier_trainer.progress import termination
from classifier_trainer.progress.display import display
from classifier_trainer.progress.endpoint import Endpoint
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.stages import Prepared
from classifier_trainer.train.head_only import fit_head
from classifier_trainer.train.loop import Step, train


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
        method = _head_only if config.hyperparameters.method == "HeadOnly" else _lora
        metrics = method(config, prepared, compute, writer, tracker)
        _finish(output, record, metrics, tracker)


def _lora(
    config: RunConfig, prepared: Prepared, compute: Compute, writer: Writer, tracker: Tracker
) -> dict[str, float]:
    """Adapters and the head, from a head in closed form; a checkpoint an epoch."""
    backbone, chosen = prepared.backbone, config.hyperparameters
    used = stages.settings(config, backbone)
    _start_head(prepared, used.seed, tracker)
    targets = chosen.lora.target_modules
    adapted = add_adapter(
        backbone,
        rank=chosen.lora.rank,
        alpha=chosen.lora.alpha,
        dropout=chosen.lora.dropout,
        target_modules=None if targets == "AllLinear" else targets,
    )
    lengths = [len(row) for row in prepared.train_ids]
    tracker.phase("Training", f"training on {len(lengths)} rows, epoch 1 of {used.epochs}")
    metrics: dict[str, float] = {}
    with MetricsLog(writer.output / METRICS) as log, prepared_for_training(adapted, compute, max(lengths)):
        for step in train(
            adapted.model,
            adapted.adapter_parameters,
            adapted.head_parameters,
            prepared.train_ids,
            prepared.targets,
            exclusive=prepared.exclusive,
            pad=prepared.pad,
            updates_of=lambda epoch: updates(lengths, chosen.batch_size, used.seed, epoch),
            compute=compute,
            settings=used,
        ):
            _report(step, used.epochs, log, tracker)
            if not step.last_of_epoch:
                continue
            name, last = f"epoch-{step.epoch}", step.epoch == used.epochs
            tracker.phase("Testing", f"writing and testing {name}")
            metrics = writer.write(
                name,
                step.step,
                lambda folder: save_adapter(adapted, folder, backbone.uri),
                final=last,
            )
            tracker.say(_scores(name, metrics))
            if not last:
                tracker.phase("Training", f"epoch {step.epoch + 1} of {used.epochs}")
    return metrics


def _head_only(
    config: RunConfig, prepared: Prepared, compute: Compute, writer: Writer, tracker: Tracker
) -> dict[str, float]:
    """The head on features that were computed once."""
    del compute
    backbone, seed = prepared.backbone, config.hyperparameters.seed
    with_bias = backbone.head.bias is not None
    tracker.phase("Training", f"fitting the head on {len(prepared.start_features)} rows")

    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        head, _ = closed_form_head(features, targets, exclusive=prepared.exclusive, with_bias=with_bias, seed=seed)
        return head.weight, head.bias

    weight, bias, penalty = fit_head(
        prepared.start_features,
        prepared.targets,
        exclusive=prepared.exclusive,
        with_bias=with_bias,
        start=start,
        fold_of=stages.folds(prepared, seed),
    )
    set_head(backbone.head, weight, bias)
    tracker.say(f"head fitted, penalty {penalty:g}")
    tracker.phase("Testing", "writing and testing epoch-1")
    metrics = writer.write("epoch-1", 1, writer.save_full, final=True)
    tracker.say(_scores("epoch-1", metrics))
    return metrics


def _start_head(prepared: Prepared, seed: int, tracker: Tracker) -> None:
    tracker.phase("Preparing", "starting the head from a closed form")
    backbone = prepared.backbone
    head, loss = closed_form_head(
        prepared.start_features,
        prepared.targets[prepared.start_rows],
        exclusive=prepared.exclusive,
        with_bias=backbone.head.bias is not None,
        seed=seed,
    )
    set_head(backbone.head, head.weight, head.bias)
    tracker.say(f"the head starts with a log loss of {loss:.3f} out of fold")


def _report(step: Step, epochs: int, log: MetricsLog, tracker: Tracker) -> None:
    log.write(
        {
            "step": step.step,
            "epoch": step.epoch,
            "loss": round(step.loss, 6),
            "learningRate": step.learning_rate,
            "gradNorm": round(step.grad_norm, 6),
            "tokensPerSecond": round(step.tokens / step.seconds, 1),
        }
    )
    tracker.trained(
        f"epoch {step.epoch} of {epochs}, loss {step.loss:.3f}",
        epoch=step.epoch,
        epochs=epochs,
        step=step.step,
        steps=step.steps,
        loss=round(step.loss, 4),
        samplesPerSecond=round(step.rows / step.seconds, 1),
        tokensPerSecond=round(step.tokens / step.seconds, 1),
    )
    tracker.advance(stages.TRAINING_UNITS * step.tokens)


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
    tracker.phase("Succeeded", f"best is {_scores(best, metrics)}")
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


def _scores(name: str, metrics: dict[str, float]) -> str:
    if not metrics:
        return name
    text = f"{name}: accuracy {metrics['accuracy']:.4f}, macro-F1 {metrics['macroF1']:.4f}"
    return text + (f", TF-IDF + linear SVM {metrics['baselineAccuracy']:.4f}" if "baselineAccuracy" in metrics else "")


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
