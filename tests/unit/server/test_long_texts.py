"""One answer out of those for a long text's windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import probabilities
from classifier_server.long_texts import combine
from classifier_server.tokenization import Strategy

ROWS = [0, 1, 1, 1, 2]
WEIGHTS = [4, 8, 8, 2, 5]
LOGITS = np.array([[1, 0], [0, 1], [3, 2.5], [-2, 2], [0, 0]], dtype=np.float32)
POSITIVE = np.array([[1], [0], [3], [-2], [0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("task", "logits", "expected"),
    [
        ("Multilabel", LOGITS, [[1, 0], [3, 2.5], [0, 0]]),
        ("Multiclass", LOGITS, [[1, 0], [-2, 2], [0, 0]]),  # the window that is most certain of anything
        ("Binary", LOGITS, [[1, 0], [-2, 2], [0, 0]]),  # the window that is most certain of the label
        ("Binary", -LOGITS, [[-1, 0], [-3, -2.5], [0, 0]]),
        ("Binary", POSITIVE, [[1], [3], [0]]),
    ],
)
def test_max(task: Task, logits: npt.NDArray[np.float32], expected: list[list[float]]) -> None:
    combined, probs = combine(logits, ROWS, WEIGHTS, "Max", task)
    np.testing.assert_array_equal(combined, expected)
    np.testing.assert_allclose(probs, probabilities(np.array(expected), task))


@pytest.mark.parametrize("task", ["Multilabel", "Multiclass", "Binary"])
def test_mean_is_weighted_by_tokens(task: Task) -> None:
    combined, probs = combine(LOGITS, ROWS, WEIGHTS, "Mean", task)
    each = probabilities(LOGITS, task)
    np.testing.assert_allclose(probs[1], (8 * each[1] + 8 * each[2] + 2 * each[3]) / 18)
    np.testing.assert_allclose(combined[1], [(3 * 8 - 2 * 2) / 18, (8 + 2.5 * 8 + 2 * 2) / 18], rtol=1e-6)
    np.testing.assert_allclose(probs[[0, 2]], each[[0, 4]])


@pytest.mark.parametrize("strategy", ["Max", "Mean"])
@pytest.mark.parametrize("task", ["Multilabel", "Multiclass", "Binary"])
def test_one_window_each_changes_nothing(strategy: Strategy, task: Task) -> None:
    combined, probs = combine(LOGITS, list(range(5)), WEIGHTS, strategy, task)
    np.testing.assert_allclose(combined, LOGITS)
    np.testing.assert_allclose(probs, probabilities(LOGITS, task))
    assert combined.dtype == np.float32
