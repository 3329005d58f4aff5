"""The real backend: a transformers sequence-classification model on a CPU or one GPU.

Heavy: imports torch and transformers. Neither peft nor accelerate is used, and the image has none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from classifier_artifacts.bfloat16 import to_bfloat16
from classifier_server.backend import BackendBrokenError, BackendMemoryError, Logits
from classifier_server.packing import pack
from classifier_server.prepacking import prepack

_CPU_BATCH_TOKENS = 512
_GPU_BATCH_TOKENS = 16_384
# Where texts cannot be packed: on a CPU padding costs as much as text; on a GPU a fuller batch is worth some.
_CPU_PADDING = 0.15
_GPU_PADDING = 0.4
_LENGTH_STEP = 8


def choose_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TransformersBackend:
    """Implements backend.Backend."""

    def __init__(self, model: PreTrainedModel, *, device: torch.device, dtype: torch.dtype, cpus: int) -> None:
        """Takes `model` (fp32, evaluation mode, pad token set) over and casts it; `cpus` counts on a CPU only."""
        on_cpu = device.type == "cpu"
        self.workers = cpus if on_cpu else 1
        self.max_batch_tokens = _CPU_BATCH_TOKENS if on_cpu else _GPU_BATCH_TOKENS
        self.max_padding: float | None = _CPU_PADDING if on_cpu else _GPU_PADDING
        self._device = device
        text = model.config.get_text_config()
        self._pad = int(text.pad_token_id)
        # Some count positions from behind the pad token's id on, so that fewer fit.
        self._positions = (getattr(text, "max_position_embeddings", None) or 0) - self._pad - 1
        self._thread = threading.local()
        model.config.use_cache = False
        packed = pack(model) if on_cpu else None
        if dtype == torch.bfloat16:
            to_bfloat16(model, device, None if packed is None else packed.logits)
        module: torch.nn.Module = model  # transformers hides the types of to() behind its decorators
        self._model = module.to(device)
        if on_cpu:
            prepack(module)
        self._compute: Callable[[Sequence[Sequence[int]]], torch.Tensor] = self._padded
        if packed is not None:
            self._compute, self.max_padding = packed.logits, None

    def forward(self, batch: Sequence[Sequence[int]], threads: int) -> Logits:
        """See backend.Backend."""
        self._use_threads(threads)
        try:
            with torch.inference_mode():
                return np.asarray(self._compute(batch).float().cpu().numpy())
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise BackendMemoryError(str(error)) from error
        except MemoryError as error:
            raise BackendMemoryError(str(error)) from error
        except RuntimeError as error:
            # Neither has a class of its own in every version of torch.
            if "can't allocate memory" in str(error):
                raise BackendMemoryError(str(error)) from error
            if self._device.type == "cuda" and "CUDA error" in str(error):
                raise BackendBrokenError(f"the GPU failed: {str(error).splitlines()[0]}") from error
            raise

    def _padded(self, batch: Sequence[Sequence[int]]) -> torch.Tensor:
        longest = self._rounded(max(map(len, batch)))
        ids = np.full((len(batch), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(batch), longest), dtype=np.int64)
        for row, text in enumerate(batch):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        logits: torch.Tensor = self._model(
            input_ids=torch.from_numpy(ids).to(self._device), attention_mask=torch.from_numpy(mask).to(self._device)
        ).logits
        return logits

    def _rounded(self, longest: int) -> int:
        """On a CPU one of few lengths, for the reason that packed_rows.rounded_rows gives."""
        if self._device.type != "cpu":
            return longest
        rounded = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
        return rounded if rounded <= self._positions else longest

    def _use_threads(self, threads: int) -> None:
        # OpenMP keeps the number for each calling thread, so every worker says it for itself.
        if self._device.type == "cpu" and getattr(self._thread, "threads", None) != threads:
            torch.set_num_threads(threads)
            self._thread.threads = threads
