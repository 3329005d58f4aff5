from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from classifier_server.backend import BackendMemoryError
from classifier_server.precision import Precision, choose_dtype
from classifier_server.transformers_backend import TransformersBackend
from support.server_models import bert_folder, llama_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["bert", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = bert_folder if request.param == "bert" else llama_folder
    return make(tmp_path_factory.mktemp(request.param))


def load(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()


def random_batch(rows: int) -> list[list[int]]:
    generator = np.random.default_rng(3)
    return [list(map(int, generator.integers(5, 150, generator.integers(1, 40)))) for _ in range(rows)]


def alone(folder: Path, batch: list[list[int]]) -> np.ndarray:
    model = load(folder)
    with torch.inference_mode():
        return np.concatenate([model(input_ids=torch.tensor([ids])).logits.numpy() for ids in batch])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_float32_is_the_same_in_any_batch(folder: Path, threads: int) -> None:
    backend = TransformersBackend(load(folder), device=CPU, dtype=torch.float32, cpus=2)
    batch = random_batch(12)
    expected = alone(folder, batch)
    assert np.ptp(expected, axis=0).min() > 0.1  # the rows do differ
    np.testing.assert_allclose(backend.forward(batch, threads), expected, atol=1e-4)
    shuffled = [batch[row] for row in (5, 3, 11)]
    np.testing.assert_allclose(backend.forward(shuffled, threads), expected[[5, 3, 11]], atol=1e-4)


def test_bfloat16_stays_near(folder: Path) -> None:
    def backend_of(dtype: torch.dtype) -> TransformersBackend:
        model = load(folder)
        with torch.no_grad():  # logits of a real head; the random ones are ten times as large
            for parameter in (model.score if hasattr(model, "score") else model.classifier).parameters():
                parameter.mul_(0.1)
        return TransformersBackend(model, device=CPU, dtype=dtype, cpus=1)

    reference = backend_of(torch.float32)
    batch = random_batch(40)
    expected = softmax(reference.forward(batch, 1))
    logits = backend_of(torch.bfloat16).forward(batch, 1)
    assert logits.dtype == np.float32
    assert not np.array_equal(logits, torch.from_numpy(logits).bfloat16().float().numpy())  # the head is in float32
    difference = np.abs(softmax(logits) - expected).max()
    assert 0 < difference < 0.02


@pytest.mark.parametrize(
    ("precision", "capabilities", "expected"),
    [
        ("Float32", {"avx512_bf16": True}, torch.float32),
        ("BFloat16", {}, torch.bfloat16),
        ("Auto", {"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ("Auto", {"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ("Auto", {"avx512": True, "avx2": True}, torch.float32),
        ("Auto", {"architecture": "aarch64", "bf16": True}, torch.bfloat16),
        ("Auto", {"architecture": "aarch64", "bf16": False}, torch.float32),
    ],
)
def test_precision(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, capabilities: dict[str, Any], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype(precision, CPU) is expected


def test_precision_of_this_machine() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    expected = torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32
    assert choose_dtype("Auto", CPU) is expected


@pytest.mark.parametrize(("longest", "seen"), [(1, 8), (9, 16), (40, 40), (58, 58), (62, 62)])
def test_padded_texts_have_few_lengths_but_never_more_than_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int, seen: int
) -> None:
    monkeypatch.setattr("classifier_server.transformers_backend.pack", lambda _: None)
    backend = TransformersBackend(load(bert_folder(tmp_path)), device=CPU, dtype=torch.float32, cpus=1)
    assert backend.max_padding is not None
    shapes: list[tuple[int, ...]] = []
    model: Any = backend._model
    model.register_forward_pre_hook(lambda *told: shapes.append(told[2]["input_ids"].shape), with_kwargs=True)
    batch = [[7] * longest, [8]]
    found = backend.forward(batch, 1)
    assert shapes == [(2, seen)]
    np.testing.assert_allclose(found, alone(tmp_path, batch), atol=1e-4)


def test_memory_errors_are_told_apart(folder: Path) -> None:
    backend = TransformersBackend(load(folder), device=CPU, dtype=torch.float32, cpus=1)
    for error in (torch.OutOfMemoryError("full"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")):

        def fail(_: object, error: Exception = error) -> torch.Tensor:
            raise error

        backend._compute = fail
        with pytest.raises(BackendMemoryError):
            backend.forward([[1]], 1)

    def other(_: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    backend._compute = other
    with pytest.raises(RuntimeError, match="shapes do not match"):
        backend.forward([[1]], 1)
