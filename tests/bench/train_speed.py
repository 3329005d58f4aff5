"""How fast LoRA and HeadOnly train on a CPU, beside transformers' run_classification recipe.

`make bench NAME=train_speed`, about ten minutes. Ours and the recipes take turns, a few updates each, so that what else
the machine does meets all alike: SmolLM2-135M, R8, the same rows (of at most 128 tokens), adapters, number format,
updates of 16 rows, and the same measure of accuracy after one epoch. `--quick` takes a tiny model, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "trainer-image/src")]

import numpy as np  # noqa: E402  # the path above makes the script run by itself
import torch  # noqa: E402
from peft import LoraConfig, TaskType, get_peft_model  # noqa: E402
from torch import nn  # noqa: E402
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402

from bench.hugging_face import Pace, Recipe  # noqa: E402
from bench.report import Row, write  # noqa: E402
from classifier_trainer import ready, stages  # noqa: E402
from classifier_trainer.batching import Forward, micro_batches, padded_forward  # noqa: E402
from classifier_trainer.compute import Compute, find_compute, linear_algebra  # noqa: E402
from classifier_trainer.config import parse  # noqa: E402
from classifier_trainer.model import closed_form  # noqa: E402
from classifier_trainer.model.features import head_inputs  # noqa: E402
from classifier_trainer.model.start import closed_form_head  # noqa: E402
from classifier_trainer.prepare import prepare  # noqa: E402
from classifier_trainer.progress.tracker import Tracker  # noqa: E402
from classifier_trainer.train.goal import Goal  # noqa: E402
from classifier_trainer.train.head_only import fit_head  # noqa: E402

BATCH, LENGTH, EPOCHS_FROZEN = 16, 128, 30
DYNAMIC, HEAD_ONLY = 1.5, 10.0
"""What is to be reached."""


@dataclass(frozen=True)
class Setting:
    """What is trained on what."""

    base: Path
    train: Path
    test: Path
    slice: int
    """Updates in a turn."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few rows; writes nothing")
    parser.add_argument("--rows", type=int, default=320, help="training rows (default: %(default)s)")
    parser.add_argument("--test-rows", type=int, default=400)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-train-speed-") as folder:
        rows, notes = measure(_setting(Path(folder), options))
    if options.quick:
        print(json.dumps({row.key: round(row.value, 4) for row in rows}))
        return 0
    write(
        "train_speed",
        title="Training beside transformers' run_classification",
        command="make bench NAME=train_speed",
        rows=rows,
        notes=notes,
    )
    return 0


def measure(setting: Setting) -> tuple[list[Row], list[str]]:
    """The lines of the table and what is to be said beneath it."""
    compute = find_compute("Auto")
    tracker = Tracker()
    config = parse(
        {
            "baseModel": {"uri": f"file://{setting.base}"},
            "trainDataset": {"uri": f"file://{setting.train}"},
            "testDataset": {"uri": f"file://{setting.test}"},
            "validation": {"split": None},
            "hyperparameters": {"epochs": 1, "batchSize": BATCH, "maxLength": LENGTH},
            "output": {"uri": "/unused"},
        }
    )
    dataset = stages.read_data(config, tracker)
    path, backbone = stages.load_model(config, dataset, compute, tracker)
    assert dataset.test is not None
    labels = [targets.argmax(axis=1).tolist() for targets in (dataset.train.targets, dataset.test.targets)]
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = backbone.tokenizer.pad_token
    theirs = [
        tokenizer(list(prompts), truncation=True, max_length=LENGTH)["input_ids"]
        for prompts in (dataset.train.prompts, dataset.test.prompts)
    ]
    head_only, frozen = _head_only(
        backbone, compute, theirs[0], labels[0], config.hyperparameters.seed, tokenizer, path
    )
    prepared = prepare(config, dataset, path, backbone, compute, tracker, cache=stages.scratch_folder())
    rate = stages.settings(config, backbone).learning_rate
    with ready.ready_loop(config, dataset, prepared, compute, tracker) as (loop, trained):
        recipes = {
            padding: Recipe(
                _with_lora(path, backbone, compute, len(dataset.labels)),
                theirs[0],
                labels[0],
                tokenizer,
                padding=padding,
                fixed=LENGTH,
                batch_size=BATCH,
                learning_rate=rate,
                dtype=compute.dtype,
            )
            for padding in ("Dynamic", "Fixed", "GroupByLength")
        }
        ours = Pace()
        steps = iter(loop)
        for turn in range(-(-loop.steps // setting.slice)):
            for _ in range(setting.slice):
                mark = time.perf_counter()
                step = next(steps, None)
                if step is not None:
                    ours.add(step.rows, step.tokens, time.perf_counter() - mark)
            recipes["Dynamic"].advance(setting.slice)
            if turn % 2 == 0:  # for their pace alone, half of it is enough
                recipes["Fixed"].advance(setting.slice)
                recipes["GroupByLength"].advance(setting.slice)
        accuracies = [
            _accuracy(padded_forward(model, prepared.pad, compute.device), model, ids, labels[1], compute)
            for model, ids in (
                (trained.model, prepared.test_ids),
                (recipes["Dynamic"].model, theirs[1]),
            )
        ]
    return _rows(ours, {name: recipe.pace for name, recipe in recipes.items()}, accuracies, head_only, frozen), _notes(
        theirs[0], ours, {name: recipe.pace for name, recipe in recipes.items()}, head_only, frozen, compute
    )


def _with_lora(path: Path, backbone: Any, compute: Compute, labels: int) -> nn.Module:
    """The base model with a random head and adapters on the same layers, as a user of peft writes it."""
    torch.manual_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels, dtype=compute.dtype)
    model.config.pad_token_id = backbone.model.config.pad_token_id
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, target_modules="all-linear", exclude_modules=["score"]
    )
    made: nn.Module = get_peft_model(model, config)
    return made


def _head_only(
    backbone: Any,
    compute: Compute,
    ids: Sequence[Sequence[int]],
    labels: Sequence[int],
    seed: int,
    tokenizer: Any,
    path: Path,
) -> tuple[float, float]:
    """Seconds of HeadOnly, all of it; and of the frozen recipe at 30 epochs, from a few updates of it."""
    count = len(backbone.model.config.id2label)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=count, dtype=compute.dtype)
    model.config.pad_token_id = backbone.model.config.pad_token_id
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("score"))
    recipe = Recipe(
        model,
        ids,
        labels,
        tokenizer,
        padding="Dynamic",
        fixed=LENGTH,
        batch_size=BATCH,
        learning_rate=1e-2,
        dtype=compute.dtype,
        epochs=EPOCHS_FROZEN,
    )
    recipe.advance(3)
    mark = time.perf_counter()
    pad = int(backbone.tokenizer.pad_token_id)
    features = head_inputs(backbone.model, backbone.head, ids, pad=pad, compute=compute, progress=lambda _tokens: None)
    targets = np.eye(count)[list(labels)]

    def start(x: closed_form.Array, y: closed_form.Array) -> tuple[closed_form.Array, closed_form.Array]:
        head, _ = closed_form_head(x, y, exclusive=True, with_bias=False, seed=seed)
        return head.weight, head.bias

    with linear_algebra(features.shape[1]):
        fit_head(features, Goal(targets, True), with_bias=False, start=start, fold_of=closed_form.folds(targets, seed))
    seconds = time.perf_counter() - mark
    recipe.advance(3)
    return seconds, EPOCHS_FROZEN * len(ids) / recipe.pace.rows_per_second


def _accuracy(
    forward: Forward, model: nn.Module, ids: Sequence[Sequence[int]], labels: Sequence[int], compute: Compute
) -> float:
    model.eval()
    right = 0
    with torch.no_grad():
        for batch in micro_batches(range(len(ids)), [len(row) for row in ids], 1024):
            with compute.autocast():
                found = forward([ids[row] for row in batch]).argmax(dim=1).tolist()
            right += sum(guess == labels[row] for guess, row in zip(found, batch, strict=True))
    return right / len(ids)


def _rows(
    ours: Pace, theirs: dict[str, Pace], accuracies: Sequence[float], head_only: float, frozen: float
) -> list[Row]:
    ratios = {name: ours.rows_per_second / pace.rows_per_second for name, pace in theirs.items()}
    own, other = accuracies
    head = frozen / head_only
    return [
        Row("lora_rows_per_second", "LoRA, ours", round(ours.rows_per_second, 2), "rows/s"),
        Row(
            "lora_ratio_dynamic_padding",
            "LoRA, ours ÷ Trainer with dynamic padding",
            round(ratios["Dynamic"], 2),
            "",
            f"≥ {DYNAMIC}",
            ratios["Dynamic"] >= DYNAMIC,
        ),
        Row("lora_ratio_padding_128", "LoRA, ours ÷ Trainer, padded to 128", round(ratios["Fixed"], 2)),
        Row("lora_ratio_group_by_length", "LoRA, ours ÷ Trainer, grouped by length", round(ratios["GroupByLength"], 2)),
        Row("lora_accuracy", "accuracy after one epoch, ours", round(own, 4), "", "≥ the Trainer's", own >= other),
        Row("trainer_accuracy", "accuracy after one epoch, Trainer with dynamic padding", round(other, 4)),
        Row(
            "head_only_ratio",
            f"HeadOnly ÷ Trainer with a frozen backbone, {EPOCHS_FROZEN} epochs",
            round(head, 1),
            "",
            f"≥ {HEAD_ONLY:g}",
            head >= HEAD_ONLY,
        ),
    ]


def _notes(
    ids: Sequence[Sequence[int]],
    ours: Pace,
    theirs: dict[str, Pace],
    head_only: float,
    frozen: float,
    compute: Compute,
) -> list[str]:
    quantiles = np.quantile([len(row) for row in ids], [0, 0.25, 0.5, 0.75, 0.95, 1]).round().astype(int).tolist()
    paces = {"ours": ours, **theirs}
    kind = str(compute.dtype).removeprefix("torch.")
    return [
        f"{len(ids)} rows of R8 for one epoch, {BATCH} an update, in {kind}; tokens of a row (minimum, quartiles, "
        f"95 %, maximum): {', '.join(map(str, quantiles))}",
        "rows/s: " + ", ".join(f"{name} {pace.rows_per_second:.2f}" for name, pace in paces.items()),
        "seconds of an update, median: "
        + ", ".join(f"{name} {np.median(pace.updates):.2f}" for name, pace in paces.items()),
        "ours starts from a head in closed form and a template that was chosen, which the rows/s do not count",
        f"HeadOnly took {head_only:.1f} s in all; the frozen recipe would take {frozen:.0f} s, by six of its updates",
    ]


def _setting(folder: Path, options: argparse.Namespace) -> Setting:
    train, test = folder / "train.jsonl", folder / "test.jsonl"
    if options.quick:
        from support.tiny_models import multiclass, tiny_folder

        return Setting(tiny_folder(folder / "base", "llama"), multiclass(train, 48), multiclass(test, 30, 1), 1)
    from material.r8 import r8
    from material.smollm2 import smollm2

    for name, path, count in (("train", train, options.rows), ("test", test, options.test_rows)):
        lines = (r8() / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:count]), encoding="utf-8")
    return Setting(smollm2(), train, test, 4)


if __name__ == "__main__":
    sys.exit(main())
