"""Texts as token ids: computed once for a text, tokenizer and length, kept on disk, shared by all processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import Column, ColumnWriter, OnDisk
from classifier_trainer.data.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = npt.NDArray[np.int32]
Side = Literal["Right", "Left"]

_FORMAT = 1
_FILES: dict[str, type[np.generic]] = {"ids": np.int32, "ends": np.int64, "lengths": np.int32, "full": np.int32}
_ROWS = 4096
_CHARACTERS = 1 << 20
_POLL_SECONDS = 0.2


class TokenIds(OnDisk[Ids]):
    """The ids of each row, mapped from a folder: only what is asked for comes into memory."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.folder = folder
        self.max_length = max_length
        self.full_lengths: npt.NDArray[np.int32] = Column(folder / "full", np.int32).mapped()
        """Tokens of each row before it was cut, [rows]."""
        self.lengths: npt.NDArray[np.int32] = Column(folder / "lengths", np.int32).mapped()
        """Tokens of each row, [rows]."""
        self._ends = Column(folder / "ends", np.int64).mapped()
        self._ids = Column(folder / "ids", np.int32).mapped()

    def __len__(self) -> int:
        return len(self.lengths)

    def one(self, row: int) -> Ids:
        """The ids of a row."""
        end = int(self._ends[row])
        return np.asarray(self._ids[end - int(self.lengths[row]) : end])

    def some(self, rows: range) -> list[Ids]:
        """The ids of some rows."""
        return [self.one(row) for row in rows]

    @property
    def cut(self) -> npt.NDArray[np.bool_]:
        """Which rows are longer than they may be, [rows]."""
        return np.asarray(self.full_lengths > self.max_length)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return len(self._ids)


def lengths_of(ids: Sequence[Sequence[int]]) -> Sequence[int]:
    """Tokens of each row, without reading the rows where they lie on disk."""
    found: Sequence[int] = ids.lengths if isinstance(ids, TokenIds) else [len(row) for row in ids]
    return found


def tokenize(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache: Path,
    *,
    side: Side = "Right",
    build: bool = True,
    progress: Callable[[int], None] | None = None,
) -> TokenIds:
    """The ids of all texts, cut to `max_length` tokens with the template's, from the cache if they are there.

    Built under a temporary name and renamed. With `build` false, as on all ranks but one, it waits for the one that
    builds. `progress` is told how many rows each step was. A text without any token gets the pad token.
    """
    folder = cache / cache_key(texts, tokenizer, max_length, side)
    if not build:
        while not folder.is_dir():
            time.sleep(_POLL_SECONDS)
    elif folder.is_dir():
        if progress is not None:
            progress(len(texts))
    else:
        _build(texts, Encoder(tokenizer, max_length, side), folder, progress)
    return TokenIds(folder, max_length)


def cache_key(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, side: Side) -> str:
    """A digest of all that the ids depend on."""
    from tokenizers import __version__ as tokenizers_version
    from transformers import __version__ as transformers_version

    content = hashlib.blake2b(digest_size=16)
    if isinstance(texts, Texts):
        content.update(texts.digest().encode())
    else:
        for text in texts:
            content.update(f"{len(text)}:".encode() + text.encode("utf-8"))
    parts = [
        _FORMAT,
        content.hexdigest(),
        hashlib.sha256(_written(tokenizer).encode()).hexdigest(),
        tokenizer.pad_token_id,
        max_length,
        side,
        tokenizers_version,
        transformers_version,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _written(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    # Truncation and padding are set by every call, and belong to it, not to the tokenizer.
    content = json.loads(backend.to_str())
    return json.dumps({**content, "truncation": None, "padding": None}, sort_keys=True)


class Encoder:
    """Encodes batches on all CPUs, as calling the tokenizer would, but without what nobody needs."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, side: Side) -> None:
        self._max_length = max_length
        self._pad = int(tokenizer.pad_token_id)
        self._tokenizer: Any = tokenizer
        self._whole: Any = None
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            # rayon is told to by itself that it may use threads, but transformers warns after a fork without it.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
            from tokenizers import Tokenizer

            self._whole, self._cut = (Tokenizer.from_str(backend.to_str()) for _ in range(2))
            for each in (self._whole, self._cut):
                each.no_padding()
                each.no_truncation()
            self._cut.enable_truncation(max_length, direction=side.lower())
        else:
            tokenizer.truncation_side = side.lower()

    def encode(self, texts: list[str]) -> tuple[list[list[int]], list[int]]:
        """The ids of each text, and how many there were before it was cut."""
        # Rows that rebalancing repeats stand side by side.
        different = list(dict.fromkeys(texts))
        if len(different) < len(texts):
            found = dict(zip(different, zip(*self.encode(different), strict=True), strict=True))
            return [found[text][0] for text in texts], [found[text][1] for text in texts]
        rows = self._encode(texts, whole=True)
        full = [max(1, len(row)) for row in rows]
        long = [at for at, length in enumerate(full) if length > self._max_length]
        for at, row in zip(long, self._encode([texts[at] for at in long], whole=False) if long else [], strict=True):
            rows[at] = row
        return [row or [self._pad] for row in rows], full

    def _encode(self, texts: list[str], *, whole: bool) -> list[list[int]]:
        if self._whole is not None:
            return [each.ids for each in (self._whole if whole else self._cut).encode_batch_fast(texts)]
        options: dict[str, Any] = {} if whole else {"truncation": True, "max_length": self._max_length}
        ids: list[list[int]] = self._tokenizer(texts, verbose=False, **options)["input_ids"]
        return ids


def _build(texts: Sequence[str], encoder: Encoder, folder: Path, progress: Callable[[int], None] | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # With the host's name: in pods that share a claim, every trainer is process 1.
    temporary = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write(texts, encoder, temporary, progress)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(texts: Sequence[str], encoder: Encoder, folder: Path, progress: Callable[[int], None] | None) -> None:
    with ExitStack() as stack:
        ids, ends, lengths, full = (
            stack.enter_context(closing(ColumnWriter(folder / name, dtype))) for name, dtype in _FILES.items()
        )
        total = 0
        for batch in _batches(texts):
            rows, before = encoder.encode(batch)
            sizes = np.array([len(row) for row in rows], dtype=np.int64)
            ids.extend(np.concatenate([np.array(row, dtype=np.int32) for row in rows]))
            ends.extend(total + np.cumsum(sizes))
            lengths.extend(sizes)
            full.extend(before)
            total += int(sizes.sum())
            if progress is not None:
                progress(len(batch))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in order, as many at a time as are little memory."""
    for start in range(0, len(texts), _ROWS):
        batch: list[str] = []
        characters = 0
        for text in texts[start : start + _ROWS]:
            if batch and characters + len(text) > _CHARACTERS:
                yield batch
                batch, characters = [], 0
            batch.append(text)
            characters += len(text)
        yield batch
