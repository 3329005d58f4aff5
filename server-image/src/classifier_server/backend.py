"""What the engine asks of a model. The engine sees only this module, so tests put a fake behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


class Backend(Protocol):
    """A loaded model. `forward` is called from at most `workers` threads at once."""

    @property
    def workers(self) -> int:
        """How many batches may be computed side by side: the CPUs, or 1 on a GPU."""

    @property
    def max_batch_tokens(self) -> int:
        """What `maxBatchTokens: Auto` means on this device, padding included."""

    @property
    def max_padding(self) -> float | None:
        """The share of a batch that may be padding before computing the texts apart is faster; None: nothing is padded,
        texts of any lengths go together."""

    def forward(self, batch: Sequence[Sequence[int]], threads: int) -> Logits:
        """Logits [len(batch), labels] of the token ids of each text, computed with `threads` CPU threads.

        Raises:
            BackendMemoryError: the batch does not fit; a smaller one may.
            BackendBrokenError: the device is lost for this process.
        """


class BackendMemoryError(Exception):
    """The device has not enough memory for this batch."""


class BackendBrokenError(Exception):
    """The device does not recover within this process, as after an illegal access on a GPU."""
