from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from classifier_artifacts.bfloat16 import CompensatedLinear, RoundingLinear
from classifier_server.prepacking import prepack


def layer(kind: type[nn.Linear], bias: bool) -> nn.Linear:
    torch.manual_seed(1)
    made = nn.Linear(48, 64, bias=bias)
    if kind is not nn.Linear:
        made.to(torch.bfloat16)
        made.__class__ = kind
    return made


@pytest.mark.parametrize("kind", [nn.Linear, RoundingLinear, CompensatedLinear])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_products_are_the_same(kind: type[nn.Linear], bias: bool, rows: int) -> None:
    model = nn.Sequential(layer(kind, bias))
    values = torch.randn(1, rows, 48)
    with torch.inference_mode():
        expected = model(values)
        assert prepack(model) == 1
        found = model(values)
    assert found.dtype == expected.dtype == torch.float32
    assert found.shape == expected.shape
    # bfloat16 products are summed in another order before they are rounded.
    torch.testing.assert_close(found, expected, atol=1e-5 if kind is nn.Linear else 0.02, rtol=1e-5)


@pytest.mark.parametrize("kind", [nn.Linear, CompensatedLinear])
def test_a_weight_stands_in_memory_once(kind: type[nn.Linear]) -> None:
    model = nn.Sequential(layer(kind, True))
    before = model[0].weight.dtype
    prepack(model)
    weight: Any = model[0].weight
    assert (weight.numel(), weight.dtype) == (0, before)


def test_weights_that_are_used_elsewhere_stay() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(64, 48), nn.Linear(48, 64)
            self.head.weight = self.embedding.weight
            self.free = nn.Linear(48, 48)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head(self.free(self.embedding(ids)))
            return found

    model, ids = Tied(), torch.arange(9)
    with torch.inference_mode():
        expected = model(ids)
        assert prepack(model) == 1
        torch.testing.assert_close(model(ids), expected, atol=1e-5, rtol=1e-5)
    assert model.embedding.weight.shape == (64, 48)


def test_other_layers_and_builds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(nn.Linear):
        """May compute anything."""

    assert prepack(nn.Sequential(Own(48, 64), nn.LayerNorm(8))) == 0
    model = nn.Sequential(layer(nn.Linear, True))

    def missing(*_: object) -> torch.Tensor:
        raise RuntimeError("no such operator")

    monkeypatch.setattr("classifier_server.prepacking._reorder", missing)
    assert prepack(model) == 0
    assert type(model[0]) is nn.Linear
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert prepack(model) == 0


_FAULTS = """
import resource, sys, threading, torch
from classifier_server.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def batch():
    kept = [torch.ones(1 << 22, dtype=torch.uint8) for _ in range(12)]
def work():
    for _ in range(3):
        batch()
    before = faults()
    for _ in range(10):
        batch()
    print(faults() - before)
worker = threading.Thread(target=work)
worker.start()
worker.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_stays_between_batches() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", _FAULTS, how]
        environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PATH": "/usr/bin:/bin"}
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") * 20 < faults("give back")
