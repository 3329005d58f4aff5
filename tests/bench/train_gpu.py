"""How fast LoRA trains a model of Qwen3-4B's shape on a GPU, beside transformers' Trainer on the same one.

`make bench NAME=train_gpu` where there is a GPU. Random weights in bf16, adapters of rank 16 on all linear layers,
texts of 64 to 512 tokens, 16 rows an update; first ours, then the Trainer (dynamic padding). The bound is that of
the multiplications alone: 4 floating-point operations a parameter and token, forwards and backwards without the
gradients of frozen weights. `--tiny` tries the script out with a tiny shape, also on a CPU, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "trainer-image/src")]

import numpy as np  # noqa: E402  # the path above makes the script run by itself
import torch  # noqa: E402
from transformers import Qwen3Config, Qwen3ForCausalLM  # noqa: E402

from bench.hugging_face import Pace, Recipe  # noqa: E402
from bench.report import Row, write  # noqa: E402
from classifier_trainer.batching import padded_forward  # noqa: E402
from classifier_trainer.compute import Compute, find_compute  # noqa: E402
from classifier_trainer.data.batches import updates  # noqa: E402
from classifier_trainer.model.load import load_backbone  # noqa: E402
from classifier_trainer.model.lora import add_adapter  # noqa: E402
from classifier_trainer.model.packed import is_exact, packed_attention, packed_forward  # noqa: E402
from classifier_trainer.model.trained import prepared_for_training  # noqa: E402
from classifier_trainer.train.goal import Goal  # noqa: E402
from classifier_trainer.train.loop import Loop, Rows, Settings, Trainable  # noqa: E402
from support.tiny_models import tiny_tokenizer  # noqa: E402

SHAPE: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
TINY = {
    **SHAPE,
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bf16 operations a second, from the makers' data sheets."""
BATCH, SHORTEST, LONGEST, LABELS, WARM = 16, 64, 512, 8, 2
TARGET = 25_000
"""Tokens a second on an H200."""
RATE = 2e-4


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--tiny`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, also without a GPU; writes nothing")
    parser.add_argument("--updates", type=int, default=24, help="of each side (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("train_gpu: there is no GPU here; run it where torch sees one, or with --tiny to try it out.")
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-train-gpu-") as folder:
        rows, notes = measure(Path(folder), TINY if options.tiny else SHAPE, 3 if options.tiny else options.updates)
    if options.tiny:
        print(json.dumps({row.key: row.value for row in rows}))
        return 0
    write(
        "train_gpu",
        title="Training on a GPU beside transformers' Trainer",
        command="make bench NAME=train_gpu",
        rows=rows,
        notes=notes,
    )
    return 0


def measure(folder: Path, shape: dict[str, Any], count: int) -> tuple[list[Row], list[str]]:
    """The lines of the table and what is to be said beneath it."""
    compute = find_compute("Auto")
    base = _base(folder / "base", shape, compute)
    generator = np.random.default_rng(0)
    sizes = generator.integers(SHORTEST, LONGEST + 1, BATCH * (count + WARM))
    ids = [generator.integers(4, shape["vocab_size"], size).tolist() for size in sizes]
    labels = generator.integers(0, LABELS, len(ids))
    ours, packs, memory = _ours(base, compute, ids, labels)
    theirs, their_memory, checkpoints = _theirs(base, compute, ids, labels)
    parameters = _inner_parameters(shape)
    name = torch.cuda.get_device_name() if compute.device.type == "cuda" else "a CPU"
    flops = next((value for key, value in FLOPS.items() if key in name), 0.0)
    bound = flops / (4 * parameters)
    rows = [
        Row(
            "tokens_per_second",
            "ours",
            round(ours.tokens_per_second),
            "tokens/s",
            f"≥ {TARGET} on an H200",
            "H200" not in name or ours.tokens_per_second >= TARGET,
        ),
        Row("trainer_tokens_per_second", "Trainer, dynamic padding", round(theirs.tokens_per_second), "tokens/s"),
        Row("ratio", "ours ÷ Trainer", round(ours.tokens_per_second / theirs.tokens_per_second, 2)),
    ]
    if bound:
        rows.append(Row("share_of_bound", "share of the bound", round(ours.tokens_per_second / bound, 3)))
    return rows, [
        f"on {name}; {parameters / 1e9:.2f}e9 parameters outside the embedding, bound {bound:,.0f} tokens/s",
        f"rows of {SHORTEST} to {LONGEST} tokens, {BATCH} an update, {count} updates each after {WARM} to warm up",
        f"ours {'packs rows without padding' if packs else 'pads to the longest row of a batch'}; "
        f"peak memory {memory:.1f} GiB, of the Trainer {their_memory:.1f} GiB"
        + (", which needed activation checkpointing" if checkpoints else ""),
    ]


def _ours(base: Path, compute: Compute, ids: list[list[int]], labels: Any) -> tuple[Pace, bool, float]:
    _reset_memory()
    backbone = _load(base, compute)
    trained = add_adapter(backbone, rank=16, alpha=32, dropout=0, target_modules=None)
    pad = int(backbone.tokenizer.pad_token_id)
    lengths = [len(row) for row in ids]
    packs = compute.device.type == "cuda" and is_exact(trained, compute, pad=pad, longest=max(lengths))
    pace = Pace()

    def train() -> None:
        forward = packed_forward(trained, compute) if packs else padded_forward(trained.model, pad, compute.device)
        trainable = Trainable(
            trained.model, trained.body, trained.head, forward, not packs, trained.checkpoint_activations
        )
        rows = Rows(ids, lengths, Goal(np.eye(LABELS)[labels], True), lambda epoch: updates(lengths, BATCH, 1, epoch))
        settings = Settings(1, RATE, 2 * RATE, "Linear", 0.03, 0.0, 1.0, 1)
        steps = iter(Loop(trainable, rows, settings, compute))
        for number in range(len(ids) // BATCH):
            mark = time.perf_counter()
            step = next(steps)
            if number >= WARM:
                pace.add(step.rows, step.tokens, time.perf_counter() - mark)

    with prepared_for_training(trained, compute, max(lengths)):
        if packs:
            with packed_attention(trained):
                train()
        else:
            train()
    return pace, packs, _peak()


def _theirs(base: Path, compute: Compute, ids: list[list[int]], labels: Any) -> tuple[Pace, float, bool]:
    """The Trainer's pace, its peak memory in GiB, and whether it needed activation checkpointing."""
    for checkpoints in (False, True):
        _reset_memory()
        backbone = _load(base, compute)
        trained = add_adapter(backbone, rank=16, alpha=32, dropout=0, target_modules=None)
        if checkpoints:
            trained.checkpoint_activations()
        recipe = Recipe(
            trained.model,
            ids,
            labels.tolist(),
            backbone.tokenizer,
            padding="Dynamic",
            fixed=LONGEST,
            batch_size=BATCH,
            learning_rate=RATE,
            dtype=compute.dtype,
        )
        try:
            recipe.advance(WARM)
            warm = Pace(recipe.pace.rows, recipe.pace.tokens, recipe.pace.seconds)
            recipe.advance(len(ids) // BATCH - WARM)
        except torch.OutOfMemoryError:
            del recipe, trained, backbone
            continue
        pace = recipe.pace
        return Pace(pace.rows - warm.rows, pace.tokens - warm.tokens, pace.seconds - warm.seconds), _peak(), checkpoints
    raise SystemExit("train_gpu: the Trainer runs out of memory on this GPU.")


def _base(folder: Path, shape: dict[str, Any], compute: Compute) -> Path:
    torch.manual_seed(0)
    with torch.device(compute.device):
        model = Qwen3ForCausalLM(Qwen3Config(**shape))
    module: torch.nn.Module = model  # transformers hides the type of to() behind its decorator
    module.to(torch.bfloat16)
    model.save_pretrained(folder)
    del model, module
    tiny_tokenizer().save_pretrained(folder)
    return folder


def _load(base: Path, compute: Compute) -> Any:
    backbone = load_backbone(
        base,
        "random weights",
        task="Multiclass",
        labels=[f"label {number}" for number in range(LABELS)],
        max_length=LONGEST,
        dtype=compute.dtype,
    )
    module: torch.nn.Module = backbone.model
    module.to(compute.device)
    return backbone


def _inner_parameters(shape: dict[str, Any]) -> int:
    """Those of the layers' products."""
    width, heads = shape["hidden_size"], shape["head_dim"]
    attention = width * heads * (2 * shape["num_attention_heads"] + 2 * shape["num_key_value_heads"])
    return int(shape["num_hidden_layers"] * (attention + 3 * width * shape["intermediate_size"]))


def _reset_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


if __name__ == "__main__":
    sys.exit(main())
