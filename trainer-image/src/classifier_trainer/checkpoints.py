"""Makes a checkpoint: writes it, opens it as the server will, tests that, and only then lets it be seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from classifier_artifacts.classifier_json import BaseModelReference, ClassifierJson, write_classifier_json
from classifier_artifacts.folder import folder_digest, open_folder
from classifier_artifacts.probabilities import DEFAULT_THRESHOLD, predicted_mask, probabilities
from classifier_trainer.compute import Compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.rows import Dataset
from classifier_trainer.evaluate.predict import predict
from classifier_trainer.evaluate.scores import scores
from classifier_trainer.model.load import load_backbone
from classifier_trainer.model.template import save_tokenizer
from classifier_trainer.output.atomic import new_folder, same_files, write_json
from classifier_trainer.output.run_json import CHECKPOINTS, MODEL
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.stages import Prepared

TEST = "test"


@dataclass(frozen=True)
class Writer:
    """Writes the checkpoints of one run into its output."""

    output: Path
    config: RunConfig
    dataset: Dataset
    prepared: Prepared
    compute: Compute
    tracker: Tracker
    baseline: float | None

    def write(self, name: str, step: int, save: Callable[[Path], None], *, final: bool) -> dict[str, float]:
        """Writes checkpoints/`name`; `save` puts the weights into a folder. `final` writes model/ as well.

        Returns the metrics, none without a test set.
        """
        metrics: dict[str, float] = {}
        with new_folder(self.output / CHECKPOINTS / name) as folder:
            save(folder)
            self._describe(folder)
            opened = open_folder(folder, self.prepared.base_path, name=name)
            if final or self.dataset.test is not None:
                model = opened.load_model(torch.float32)
                if final:
                    self._write_model(folder, model, merged=opened.kind == "adapter")
                if self.dataset.test is not None:
                    metrics = self._test(folder, model)
        self.tracker.checkpoint(
            {
                "name": name,
                "step": step,
                "path": f"{CHECKPOINTS}/{name}",
                "metrics": {metric: f"{value:.4f}" for metric, value in metrics.items()},
            },
            best=name,
        )
        return metrics

    def save_full(self, folder: Path) -> None:
        """Saves the backbone as its own file has it, with the head in fp32."""
        backbone = self.prepared.backbone
        model = backbone.model
        if model.dtype != backbone.stored_dtype:
            # Loaded anew, for what was rounded for computing must not be what is saved.
            new = dict(model.named_parameters())
            model = load_backbone(
                self.prepared.base_path,
                backbone.uri,
                task=self.dataset.task,
                labels=self.dataset.labels,
                max_length=backbone.max_length,
                dtype=backbone.stored_dtype,
            ).model
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    if _within(key, backbone.new_modules):
                        parameter.data = new[key].detach().float().cpu()
        model.save_pretrained(folder)

    def _write_model(self, checkpoint: Path, model: PreTrainedModel, *, merged: bool) -> None:
        with new_folder(self.output / MODEL) as folder:
            if merged:
                _round(model, self.prepared.backbone.new_modules, self.prepared.backbone.stored_dtype)
                model.save_pretrained(folder)
                self._describe(folder)
            else:
                same_files(checkpoint, folder)

    def _describe(self, folder: Path) -> None:
        backbone = self.prepared.backbone
        config = backbone.model.config
        config.architectures = [type(backbone.model).__name__]
        config.dtype = backbone.stored_dtype
        config.save_pretrained(folder)
        save_tokenizer(self.prepared.tokenizer, folder)
        uri = self.config.base_model.uri
        labels = self.dataset.labels
        write_classifier_json(
            folder,
            ClassifierJson(
                task=self.dataset.task,
                labels=labels,
                thresholds={} if self.dataset.task == "Multiclass" else dict.fromkeys(labels, DEFAULT_THRESHOLD),
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

    def _test(self, folder: Path, model: PreTrainedModel) -> dict[str, float]:
        assert self.dataset.test is not None  # noqa: S101  # for the type checker
        module: nn.Module = model
        module.to(device=self.compute.device, dtype=self.compute.dtype)
        logits = predict(
            model,
            self.prepared.test_ids,
            pad=self.prepared.pad,
            compute=self.compute,
            progress=self.tracker.advance,
        )
        probs = probabilities(logits, self.dataset.task)
        mask = predicted_mask(probs, {}, self.dataset.task, self.dataset.labels)
        metrics = scores(self.dataset.test.targets, mask, self.dataset.task)
        if self.baseline is not None:
            metrics["baselineAccuracy"] = self.baseline
        (folder / TEST).mkdir()
        self._write_results(folder / TEST / "results.jsonl", probs, mask)
        write_json(folder / TEST / "metrics.json", dict(metrics))
        return metrics

    def _write_results(self, path: Path, probs: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]) -> None:
        assert self.dataset.test is not None  # noqa: S101  # for the type checker
        labels = self.dataset.labels
        with path.open("w", encoding="utf-8") as stream:
            for prompt, target, guess, values in zip(
                self.dataset.test.prompts, self.dataset.test.targets, mask, probs, strict=True
            ):
                row: dict[str, Any] = {
                    "prompt": prompt,
                    "expected": dict(zip(labels, target.tolist(), strict=True)),
                    "predicted": dict(zip(labels, guess.astype(int).tolist(), strict=True)),
                    "probabilities": {
                        label: round(value, 6) for label, value in zip(labels, values.tolist(), strict=True)
                    },
                }
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _round(model: nn.Module, kept: list[str], dtype: torch.dtype) -> None:
    """Rounds the backbone to the number format of its own file; the head keeps every bit."""
    for name, parameter in model.named_parameters():
        if not _within(name, kept):
            parameter.data = parameter.data.to(dtype)


def _within(name: str, modules: list[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
