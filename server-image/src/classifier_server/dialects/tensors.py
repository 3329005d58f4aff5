"""Tensors in the binary extension of KServe V2: raw little-endian values, or, for BYTES, each with its length before
it. https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LENGTH = struct.Struct("<I")


def read_bytes(data: bytes) -> list[bytes] | None:
    """The elements of a BYTES tensor; None where a length leads beyond the end."""
    elements = []
    offset = 0
    while offset < len(data):
        if offset + _LENGTH.size > len(data):
            return None
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        if offset + length > len(data):
            return None
        elements.append(data[offset : offset + length])
        offset += length
    return elements


def write_bytes(elements: Sequence[str]) -> bytes:
    """A BYTES tensor of texts in UTF-8."""
    encoded = [element.encode() for element in elements]
    return b"".join(part for element in encoded for part in (_LENGTH.pack(len(element)), element))


def write_fp32(values: npt.NDArray[np.float64]) -> bytes:
    """An FP32 tensor, row by row."""
    return values.astype("<f4").tobytes()
