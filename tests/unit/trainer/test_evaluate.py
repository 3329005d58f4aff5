"""The three scores of the status, by hand, and the logits that they are computed from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from classifier_artifacts.classifier_json import Task
from classifier_trainer.compute import Compute
from classifier_trainer.evaluate import predict as predict_module
from classifier_trainer.evaluate.counts import count


def mask(values: list[list[int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array(values, dtype=np.bool_)


def scores(expected: npt.NDArray[np.int8], predicted: npt.NDArray[np.bool_], task: Task) -> dict[str, float]:
    found = count(expected, predicted, task)
    assert found.accuracy is not None
    return {"accuracy": found.accuracy, "macroF1": 1.0 if found.macro_f1 is None else found.macro_f1}


def test_multiclass() -> None:
    expected = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=np.int8)
    found = scores(expected, mask([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]), "Multiclass")
    assert found["accuracy"] == 0.75
    assert found["macroF1"] == pytest.approx((2 / 3 + 4 / 5) / 2)  # the third label neither occurs nor is predicted


def test_binary_counts_the_absence_as_a_label() -> None:
    expected = np.array([[1], [0], [0], [0]], dtype=np.int8)
    found = scores(expected, mask([[0], [0], [0], [0]]), "Binary")
    assert found["accuracy"] == 0.75
    assert found["macroF1"] == pytest.approx((0 + 6 / 7) / 2)
    assert scores(expected[1:], mask([[0], [0], [0]]), "Binary")["macroF1"] == 1.0


def test_multilabel_compares_whole_sets() -> None:
    expected = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=np.int8)
    predicted = mask([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    found = scores(expected, predicted, "Multilabel")
    assert found["accuracy"] == pytest.approx(2 / 3)
    wanted = f1_score(expected[:, :2], predicted[:, :2].astype(int), average="macro")
    assert found["macroF1"] == pytest.approx(wanted)
    assert scores(expected * 0, predicted & False, "Multilabel")["macroF1"] == 1.0


class Lookup(nn.Module):
    """Logits of a row: its length, and the sum of its ids."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        sums = torch.stack([attention_mask.sum(dim=1), (input_ids * attention_mask).sum(dim=1)], dim=1)
        return SimpleNamespace(logits=sums.float())


def test_logits_are_in_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_module, "_WINDOW", 7)
    generator = np.random.default_rng(1)
    ids = [generator.integers(1, 100, generator.integers(1, 400)).astype(np.int32) for _ in range(40)]
    told: list[int] = []
    found = predict_module.predict(
        Lookup(),
        ids,  # type: ignore[arg-type]  # arrays are what lies on disk
        pad=0,
        compute=Compute(torch.device("cpu"), torch.float32, workers=2),
        progress=told.append,
    )
    np.testing.assert_array_equal(found, [[len(row), row.sum()] for row in ids])
    assert sum(told) >= sum(map(len, ids))
    with pytest.raises(ValueError, match="no rows"):
        predict_module.predict(
            Lookup(), [], pad=0, compute=Compute(torch.device("cpu"), torch.float32), progress=told.append
        )
