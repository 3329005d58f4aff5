"""The recipe of transformers' run_classification, an update at a time, so that others can be measured in between."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

Padding = Literal["Fixed", "Dynamic", "GroupByLength"]


@dataclass
class Pace:
    """What was measured of one recipe."""

    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    updates: list[float] = field(default_factory=list)
    """Seconds of each."""

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    def add(self, rows: int, tokens: int, seconds: float) -> None:
        """Counts an update."""
        self.rows, self.tokens, self.seconds = self.rows + rows, self.tokens + tokens, self.seconds + seconds
        self.updates.append(seconds)


class Recipe(TrainerCallback):
    """A Trainer in a thread of its own, which computes only inside `advance`."""

    def __init__(
        self,
        model: nn.Module,
        ids: Sequence[Sequence[int]],
        labels: Sequence[int],
        tokenizer: PreTrainedTokenizerBase,
        *,
        padding: Padding,
        fixed: int,
        batch_size: int,
        learning_rate: float,
        dtype: torch.dtype,
        epochs: int = 1,
        seed: int = 42,
    ) -> None:
        self.pace, self.model = Pace(), model
        self._lengths = [len(row) for row in ids]
        self._batch_size, self._left = batch_size, 0
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._mark = 0.0
        self.error: BaseException | None = None
        collate = DataCollatorWithPadding(
            tokenizer,
            padding="max_length" if padding == "Fixed" else True,
            max_length=fixed if padding == "Fixed" else None,
        )
        self._tokens = 0

        def counted(rows: list[dict[str, Any]]) -> Any:
            self._tokens += sum(len(row["input_ids"]) for row in rows)
            return collate(rows)

        arguments: dict[str, Any] = {
            "output_dir": tempfile.mkdtemp(prefix="bench-trainer-"),
            "num_train_epochs": epochs,
            "per_device_train_batch_size": batch_size,
            "learning_rate": learning_rate,
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.03,
            "train_sampling_strategy": "group_by_length" if padding == "GroupByLength" else "random",
            "bf16": dtype == torch.bfloat16,
            "use_cpu": not torch.cuda.is_available(),
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "seed": seed,
        }
        rows = [
            {"input_ids": list(row), "attention_mask": [1] * len(row), "labels": label}
            for row, label in zip(ids, labels, strict=True)
        ]
        self._trainer = Trainer(
            model=model,  # type: ignore[arg-type, unused-ignore]
            args=TrainingArguments(**arguments),
            train_dataset=rows,  # type: ignore[arg-type, unused-ignore]
            data_collator=counted,
            callbacks=[self],
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._paused.acquire()

    def advance(self, updates: int) -> None:
        """Computes so many updates, or those that are left."""
        if not self._thread.is_alive():
            return
        self._left = updates
        self._mark = time.perf_counter()
        self._go.release()
        self._paused.acquire()
        if self.error is not None:
            raise self.error

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Waits for the first `advance`."""
        self._paused.release()
        self._go.acquire()
        self._tokens = 0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Counts the update, and waits when it was the last that was asked for."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        done = len(self.pace.updates)
        start = done * self._batch_size % len(self._lengths)
        self.pace.add(min(self._batch_size, len(self._lengths) - start), self._tokens, now - self._mark)
        self._tokens, self._left = 0, self._left - 1
        if self._left == 0:
            self._paused.release()
            self._go.acquire()
        self._mark = time.perf_counter()

    def _run(self) -> None:
        try:
            self._trainer.train()
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        finally:
            self._paused.release()
