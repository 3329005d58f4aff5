"""Ways to compute a classifier on a CPU: the child process of serve_engines.py.

Runs in this project's environment, or in one with ONNX Runtime and OpenVINO, of which the project itself has neither.
`python engines.py NAME WORK.json`: texts of token ids in batches, the model's folder and the number of threads; prints
seconds and logits as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Batch = list[list[int]]
Forward = Callable[[Batch], "Any"]
"""Logits [texts, labels] of a batch, as a numpy array."""


def eager(model: Any, dtype: Any) -> Forward:
    """transformers as it is."""
    import torch

    model.to(dtype)
    pad = model.config.pad_token_id

    def forward(batch: Batch) -> Any:
        ids, mask = padded(batch, pad)
        with torch.inference_mode():
            return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.float().numpy()

    return forward


def ours(model: Any, dtype: Any) -> Forward:
    """The server's backend."""
    import torch

    from classifier_server.memory import keep_freed_memory
    from classifier_server.transformers_backend import TransformersBackend

    keep_freed_memory()
    backend = TransformersBackend(model, device=torch.device("cpu"), dtype=dtype, cpus=1)
    return lambda batch: backend.forward(batch, torch.get_num_threads())


def exported(model: Any, folder: Path) -> Path:
    """The model as ONNX, for any number of texts and tokens."""
    import torch

    # A mask of ones would be taken for no mask at all.
    ids, mask = torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.long)
    mask[1, 9:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    path = folder / "model.onnx"
    texts, tokens = torch.export.Dim("texts"), torch.export.Dim("tokens", max=512)
    shapes = {name: {0: texts, 1: tokens} for name in inputs}
    program: Any = torch.onnx.export(model, (), kwargs=inputs, dynamo=True, dynamic_shapes=shapes, verbose=False)
    program.save(str(path))
    return path


def onnx_runtime(model: Any, folder: Path, threads: int) -> Forward:
    """ONNX Runtime with its CPU provider."""
    import onnxruntime  # type: ignore[import-not-found]  # only in the environment of its own

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(exported(model, folder)), options, providers=["CPUExecutionProvider"])
    pad = model.config.pad_token_id

    def forward(batch: Batch) -> Any:
        ids, mask = padded(batch, pad)
        return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    return forward


def openvino(model: Any, folder: Path, threads: int, precision: str) -> Forward:
    """OpenVINO's CPU plugin."""
    import openvino as ov  # type: ignore[import-not-found]  # only in the environment of its own

    core = ov.Core()
    found = core.read_model(str(exported(model, folder)))
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(found, "CPU", settings)
    pad = model.config.pad_token_id

    def forward(batch: Batch) -> Any:
        ids, mask = padded(batch, pad)
        return compiled({"input_ids": ids, "attention_mask": mask})[0]

    return forward


def padded(batch: Batch, pad: int) -> tuple[Any, Any]:
    """Ids and attention mask [texts, longest]."""
    import numpy as np

    ids = np.full((len(batch), max(map(len, batch))), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def build(name: str, folder: str, threads: int, scratch: Path) -> Forward:
    """The engine `name`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    load: Any = AutoModelForSequenceClassification.from_pretrained
    model = load(folder, dtype=torch.float32).eval()
    match name:
        case "eager float32":
            return eager(model, torch.float32)
        case "eager bfloat16":
            return eager(model, torch.bfloat16)
        case "ours float32":
            return ours(model, torch.float32)
        case "ours bfloat16":
            return ours(model, torch.bfloat16)
        case "onnxruntime float32":
            return onnx_runtime(model, scratch, threads)
        case "openvino float32":
            return openvino(model, scratch, threads, "f32")
        case "openvino bfloat16":
            return openvino(model, scratch, threads, "bf16")
    raise ValueError(name)


def seconds_of(forward: Forward, batches: Sequence[Batch], rounds: int) -> float:
    """CPU seconds, the median of the rounds, after one that does not count: what else the machine does matters less."""
    took = []
    for _ in range(rounds + 1):
        begun = time.process_time()
        for batch in batches:
            forward(batch)
        took.append(time.process_time() - begun)
    return statistics.median(took[1:])


def main(name: str, work_file: str) -> None:
    """Prints {"seconds": {case: …}, "logits": […]}."""
    work = json.loads(Path(work_file).read_text())
    threads = work["threads"]
    os.environ["GOMP_SPINCOUNT"] = "20000"
    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        forward = build(name, work["model"], threads, Path(scratch))
        seconds = {case: seconds_of(forward, batches, work["rounds"]) for case, batches in work["cases"].items()}
        logits = [row.tolist() for batch in work["cases"]["mixed"] for row in forward(batch)]
    print(json.dumps({"seconds": seconds, "logits": logits}))


if __name__ == "__main__":
    main(*sys.argv[1:])
