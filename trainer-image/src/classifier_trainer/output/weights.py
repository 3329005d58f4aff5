"""The head's few numbers in a file of many: read, and written in place, without the rest.

Format: safetensors, which is 8 bytes with the length of a JSON header, the header, and the tensors' bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor of 32-bit floats lies in a file."""

    file: Path
    offset: int
    shape: tuple[int, ...]

    def read(self) -> Floats:
        """The values."""
        count = int(np.prod(self.shape))
        return np.fromfile(self.file, dtype="<f4", count=count, offset=self.offset).reshape(self.shape)

    def write(self, values: npt.ArrayLike) -> None:
        """Replaces the values; nobody may be reading the file."""
        content = np.ascontiguousarray(np.broadcast_to(np.asarray(values), self.shape), dtype="<f4").tobytes()
        with self.file.open("r+b") as stream:
            stream.seek(self.offset)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def stored_tensor(folder: Path, name: str) -> StoredTensor | None:
    """The tensor called `name`, or whose name ends so behind a dot, in the safetensors files of `folder`.

    Raises:
        ValueError: it is not of 32-bit floats, or there are several.
    """
    found = [
        StoredTensor(file, start, tuple(shape)) if kind == "F32" else None
        for file in sorted(folder.glob("*.safetensors"))
        for key, kind, shape, start in _entries(file)
        if key == name or key.endswith(f".{name}")
    ]
    if len(found) > 1 or None in found:
        raise ValueError(f"{folder} holds no single fp32 tensor called {name}")
    return found[0] if found else None


def fold(folder: Path, head: str, divisors: npt.ArrayLike, added: npt.ArrayLike | None = None) -> None:
    """Divides the saved layer `head` of a checkpoint by its temperature, one or one a row, in place.

    `added`, one a row, comes to the bias after that.

    Raises:
        ValueError: the layer is not there, or has no bias to add to.
    """
    weight, bias = stored_tensor(folder, f"{head}.weight"), stored_tensor(folder, f"{head}.bias")
    if weight is None or (added is not None and bias is None):
        raise ValueError(f"{folder} does not hold the head {head} as it must")
    by = np.asarray(divisors, dtype=np.float64).reshape(-1)
    weight.write(weight.read() / by[:, None])
    if bias is not None:
        bias.write(bias.read() / by + (0.0 if added is None else np.asarray(added, dtype=np.float64)))


def _entries(file: Path) -> Iterator[tuple[str, str, list[int], int]]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    for key, entry in header.items():
        if key != "__metadata__":
            yield key, str(entry["dtype"]), list(entry["shape"]), 8 + length + int(entry["data_offsets"][0])
