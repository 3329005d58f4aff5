"""One answer out of those for a long text's windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import probabilities
from classifier_server.backend import Logits
from classifier_server.tokenization import Strategy


def combine(
    logits: Logits, rows: Sequence[int], weights: Sequence[int], strategy: Strategy, task: Task
) -> tuple[Logits, npt.NDArray[np.float64]]:
    """Logits and probabilities of each text out of those of its windows.

    Max looks for what stands anywhere in a text: each label's largest value (Multilabel), or the window that is most
    certain of the label (Binary) or of any one (Multiclass). Mean is the mean of the windows' probabilities, and of
    their logits, by their tokens.

    Args:
        logits: of each window [w, k].
        rows: the text of each window, ascending from 0 without a gap.
        weights: tokens of each window.
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    probs = probabilities(logits, task)
    if strategy == "Mean":
        share = np.asarray(weights, np.float64)[:, None]
        total = np.add.reduceat(share, starts)
        means = (np.add.reduceat(values * share, starts) / total for values in (logits, probs))
        return next(means).astype(np.float32), next(means)
    if task == "Multilabel":
        return np.maximum.reduceat(logits, starts), np.maximum.reduceat(probs, starts)
    certainty = probs.max(axis=1)
    ends = [*starts[1:], len(logits)]
    chosen = [begin + int(certainty[begin:end].argmax()) for begin, end in zip(starts, ends, strict=True)]
    return logits[chosen], probs[chosen]
