"""Makes a checkpoint: writes it, opens it as the server will, calibrates and tests that, and then lets it be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from transformers import PreTrainedModel

from classifier_artifacts.adapter import CONFIG_NAME
from classifier_artifacts.classifier_json import BaseModelReference, ClassifierJson, write_classifier_json
from classifier_artifacts.folder import folder_digest, open_folder
from classifier_artifacts.probabilities import predicted_mask, probabilities
from classifier_trainer.compute import Compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.rows import Dataset, Split
from classifier_trainer.data.tokenize import TokenIds
from classifier_trainer.errors import UserError
from classifier_trainer.evaluate.baseline import Baseline
from classifier_trainer.evaluate.calibrate import Calibration, calibrate
from classifier_trainer.evaluate.predict import predict
from classifier_trainer.evaluate.scores import evaluate, headline, selection
from classifier_trainer.evaluate.user_functions import Function, Results, run_functions
from classifier_trainer.model.served import give_head, load_served, merged, save_head_only
from classifier_trainer.model.template import save_tokenizer
from classifier_trainer.output.atomic import new_folder, same_files, write_json
from classifier_trainer.output.keep import superseded
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.results import write_results
from classifier_trainer.output.run_json import CHECKPOINTS, METRICS, MODEL, Record
from classifier_trainer.output.store import Store
from classifier_trainer.output.weights import fold, stored_tensor
from classifier_trainer.prepare import Prepared
from classifier_trainer.progress.tracker import Tracker

TEST, VALIDATION = "test", "validation"
Floats = npt.NDArray[np.float64]
Ids = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Scored:
    """What is known of a checkpoint once it is written."""

    name: str
    step: int
    epoch: int
    metrics: dict[str, float]
    """Of the test rows; none without a test set."""
    validation: dict[str, float]
    """Of the validation rows; none without them."""
    selection: float | None
    """By which the best one is chosen, higher is better; None without validation rows, when the last one is best."""

    def document(self) -> dict[str, Any]:
        """The entry in run.json."""
        return dict(vars(self))


@dataclass
class Writer:
    """Writes the checkpoints of one run into its output, and model/ from the best of them."""

    store: Store
    record: Record
    config: RunConfig
    dataset: Dataset
    prepared: Prepared
    compute: Compute
    tracker: Tracker
    baseline: Baseline | None = None
    functions: Sequence[Function] = ()
    check: Callable[[], None] = lambda: None
    """Raises when the output is not this run's any more."""
    written: list[Scored] = field(default_factory=list)
    """In the order in which they were written."""

    def __post_init__(self) -> None:
        """Raises a UserError where adapters were asked for that nobody could load."""
        if self.config.checkpoints.format != "Adapter":
            return
        method, continued = self.config.hyperparameters.method, self.prepared.backbone.continued
        if method != "LoRA":
            raise UserError(f"checkpoints.format Adapter: method {method} has no adapter: write Auto or Merged.")
        if continued is not None and continued.is_adapter:
            raise UserError(
                f"checkpoints.format Adapter: '{self.config.base_model.uri}' is an adapter itself, so one trained on "
                "top of it has no base model to be loaded with: write Auto or Merged."
            )

    @property
    def output(self) -> Path:
        """The run's folder on this machine."""
        return self.store.folder

    @property
    def best(self) -> Scored:
        """The best checkpoint so far: of equal ones the first, and without validation rows the last."""
        best = self.written[0]
        for one in self.written[1:]:
            if one.selection is None or best.selection is None or one.selection > best.selection:
                best = one
        return best

    def restore(self, step: int) -> None:
        """Goes on after `step` updates of a run that was cut off, with the checkpoints that it had written by then."""
        self.written = [Scored(**entry) for entry in self.record.content["checkpoints"] if entry["step"] <= step]

    def write(self, name: str, step: int, save: Callable[[Path], None], *, epoch: int = 1) -> Scored:
        """Writes checkpoints/`name`; `save` puts the weights, an adapter or all of them, into a folder.

        What is calibrated is the saved head; the model in training keeps its own.
        """
        self.check()
        with new_folder(self.output / CHECKPOINTS / name) as folder:
            with self.tracker.timed("writing"):
                save(folder)
                if self._merges and (folder / CONFIG_NAME).exists():
                    self._save_merged(folder, folder)
                self._describe(folder)
            test, validation = self._judge(folder, name)
        select_by = self.config.hyperparameters.select_by
        chosen_by = selection(validation, select_by, self.dataset.task) if validation else None
        scored = Scored(name, step, epoch, headline(test or {}), headline(validation or {}), chosen_by)
        self._announce(scored)
        return scored

    def finish(self) -> Scored:
        """Makes model/ from the best checkpoint, and returns that."""
        best = self.best
        name = f"{CHECKPOINTS}/{best.name}"
        self.store.bring(name)
        checkpoint = self.output / name
        with new_folder(self.output / MODEL) as folder:
            if (checkpoint / CONFIG_NAME).exists():
                # save_pretrained writes config.json, and must not write through a link
                same_files(checkpoint, folder, but=("adapter_*", "config.json", TEST, VALIDATION))
                self._save_merged(checkpoint, folder)
            else:
                same_files(checkpoint, folder, but=(TEST, VALIDATION))
        self.store.publish(MODEL)
        self._delete_superseded(finished=True)
        return best

    @staticmethod
    def entry(scored: Scored) -> dict[str, Any]:
        """The checkpoint as the status has it."""
        return {
            "name": scored.name,
            "step": scored.step,
            "path": f"{CHECKPOINTS}/{scored.name}",
            "metrics": {metric: f"{value:.4f}" for metric, value in (scored.metrics or scored.validation).items()},
        }

    def save_full(self, folder: Path) -> None:
        """Saves a backbone of which only the new modules were trained."""
        save_head_only(self.prepared.backbone, folder)

    @property
    def _merges(self) -> bool:
        """Whether checkpoints of LoRA are whole models."""
        asked, continued = self.config.checkpoints.format, self.prepared.backbone.continued
        return asked == "Merged" or (asked == "Auto" and continued is not None and continued.is_adapter)

    def _save_merged(self, adapter: Path, folder: Path) -> None:
        model = merged(self.prepared.backbone, adapter)
        for path in folder.glob("adapter_*"):
            path.unlink()
        model.save_pretrained(folder)

    def _announce(self, scored: Scored) -> None:
        """Lets everybody see the checkpoint, which is whole now."""
        self.store.publish(f"{CHECKPOINTS}/{scored.name}")
        self.written = [one for one in self.written if one.name != scored.name] + [scored]
        line = {"step": scored.step, "epoch": scored.epoch, "checkpoint": scored.name}
        with MetricsLog(self.output / METRICS) as log:
            log.write({**line, "validation": scored.validation, "test": scored.metrics})
        self.store.publish(METRICS)
        best = self.best.name
        self.record.update(checkpoints=[one.document() for one in self.written], best=best)
        self.tracker.checkpoint(self.entry(scored), best=best)
        for one in self.written:
            if one.name != best:  # of which model/ may be made
                self.store.free(f"{CHECKPOINTS}/{one.name}")
        self._delete_superseded(finished=False)

    def _delete_superseded(self, *, finished: bool) -> None:
        there = [one.name for one in self.written if (self.output / CHECKPOINTS / one.name).exists()]
        for name in superseded(self.config.checkpoints.keep, there, self.best.name, finished=finished):
            self.store.delete(f"{CHECKPOINTS}/{name}")
            self.tracker.deleted(name)

    def _describe(self, folder: Path) -> None:
        backbone = self.prepared.backbone
        config = backbone.model.config
        config.architectures = [type(backbone.model).__name__]
        config.dtype = backbone.stored_dtype
        config.save_pretrained(folder)
        save_tokenizer(self.prepared.tokenizer, folder)
        self._write_classifier_json(folder, Calibration.none(self.dataset.task, self.dataset.labels), fitted=False)

    def _write_classifier_json(self, folder: Path, calibration: Calibration, *, fitted: bool) -> None:
        backbone, uri = self.prepared.backbone, self.config.base_model.uri
        task, labels = self.dataset.task, self.dataset.labels
        several = task == "Multilabel"
        write_classifier_json(
            folder,
            ClassifierJson(
                task=task,
                labels=labels,
                thresholds=calibration.thresholds,
                temperature=1.0 if several else calibration.temperature[0],
                temperatures=dict(zip(labels, calibration.temperature, strict=True)) if several else {},
                calibrated=fitted,
                base_model=BaseModelReference(
                    uri=uri,
                    digest=folder_digest(self.prepared.base_path),
                    # The hub's client keeps a snapshot under its commit.
                    revision=self.prepared.base_path.name if uri.startswith("hf://") else None,
                ),
                max_length=backbone.max_length,
                template=self.prepared.template,
                method=self.config.hyperparameters.method,
            ),
        )

    def _judge(self, folder: Path, name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Calibrates the checkpoint in `folder` and tests it; its test and validation metrics."""
        task, labels = self.dataset.task, self.dataset.labels
        calibration = Calibration.none(task, labels)
        opened = open_folder(folder, self.prepared.base_path, name=name)
        if self.dataset.validation is None and self.dataset.test is None:
            return None, None
        model = load_served(opened, self.compute)
        found: dict[str, Any] | None = None
        if self.dataset.validation is not None:
            before = self._logits(model, self.prepared.validation_ids, "validation")
            if self.config.hyperparameters.calibrate:
                calibration = self._calibrate(folder, model, before)
            after = calibration.apply(before)
            found = self._evaluate(self.dataset.validation, after, before, self.prepared.validation_ids, calibration)
            (folder / VALIDATION).mkdir()
            write_json(folder / VALIDATION / "metrics.json", found)
        if self.dataset.test is None:
            return None, found
        return self._test(folder, model, self.dataset.test, calibration), found

    def _calibrate(self, folder: Path, model: PreTrainedModel, logits: Floats) -> Calibration:
        """Fits the calibration and puts it into the head, on disk and in `model`."""
        assert self.dataset.validation is not None  # noqa: S101  # for the type checker
        head = self.prepared.backbone.head_name
        found = calibrate(logits, self.dataset.validation.targets, self.dataset.task, self.dataset.labels)
        fold(folder, head, found.temperature, found.intercept)
        weight, bias = stored_tensor(folder, f"{head}.weight"), stored_tensor(folder, f"{head}.bias")
        assert weight is not None  # noqa: S101  # fold has seen it
        give_head(model, head, weight.read(), None if bias is None else bias.read())
        self._write_classifier_json(folder, found, fitted=True)
        return found

    def _test(self, folder: Path, model: PreTrainedModel, test: Split, calibration: Calibration) -> dict[str, Any]:
        task, labels = self.dataset.task, self.dataset.labels
        logits = self._logits(model, self.prepared.test_ids, "test")
        shift = 0.0 if calibration.intercept is None else np.array(calibration.intercept)
        before = (logits - shift) * np.array(calibration.temperature)
        probs = probabilities(logits, task)
        mask = predicted_mask(probs, calibration.thresholds, task, labels)
        functions = self._run_functions(Results(labels, test.prompts, test.targets, mask, probs, test.lines))
        metrics = self._evaluate(test, logits, before, self.prepared.test_ids, calibration, functions, self.baseline)
        (folder / TEST).mkdir()
        write_results(folder / TEST / "results.jsonl", labels, test.prompts, test.lines, test.targets, mask, probs)
        write_json(folder / TEST / "metrics.json", metrics)
        return metrics

    def _run_functions(self, results: Results) -> dict[str, dict[str, object]]:
        if not self.functions:
            return {}
        with self.tracker.timed("functions"):
            outcomes = run_functions(self.functions, results)
        for outcome in outcomes:
            for line in outcome.printed.splitlines():
                self.tracker.say(f"{outcome.name} printed: {line}")
            if outcome.error is not None:
                self.tracker.warn(f"test function {outcome.name}: {outcome.error}")
        return {outcome.name: outcome.document() for outcome in outcomes}

    def _logits(self, model: PreTrainedModel, ids: Ids, kind: Any) -> Floats:
        module: nn.Module = model
        return predict(module, ids, pad=self.prepared.pad, compute=self.compute, progress=self.tracker.advancing(kind))

    def _evaluate(
        self,
        split: Split,
        logits: Floats,
        before: Floats,
        ids: Ids,
        calibration: Calibration,
        functions: Mapping[str, Mapping[str, object]] | None = None,
        baseline: Baseline | None = None,
    ) -> dict[str, Any]:
        limit = self.prepared.backbone.max_length
        return evaluate(
            split.targets,
            logits,
            task=self.dataset.task,
            labels=self.dataset.labels,
            thresholds=calibration.thresholds,
            cut=ids.cut if isinstance(ids, TokenIds) else np.array([len(row) >= limit for row in ids]),
            uncalibrated=before,
            functions=functions,
            baseline=baseline,
            negative_label=self.config.hyperparameters.negative_label,
        )
