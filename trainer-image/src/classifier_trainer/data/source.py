"""The files of a source: their form, and their content as bytes whatever they are packed in."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from classifier_trainer.config import Columns
from classifier_trainer.errors import UserError

Format = Literal["JSONL", "JSON", "CSV", "Parquet"]

_ENDINGS: dict[str, Format] = {
    ".jsonl": "JSONL",
    ".ndjson": "JSONL",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".parquet": "Parquet",
}
_PACKED = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PARQUET = b"PAR1"
BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_HEAD = 1 << 16


@dataclass(frozen=True)
class DataFiles:
    """Files of rows on this machine, and what messages call them.

    Attributes:
        name: the field of the configuration that names them, e.g. `trainDataset`.
        uri: as the user wrote it, without secrets.
        paths: at least one; several are read one after the other.
    """

    name: str
    uri: str
    paths: Sequence[Path]
    format: Literal["Auto", "JSONL", "JSON", "CSV", "Parquet"] = "Auto"
    columns: Columns = field(default_factory=Columns)

    @property
    def where(self) -> str:
        """What messages call them."""
        return f"{self.name} '{self.uri}'"


def packing(path: Path) -> str | None:
    """`gzip`, `zstd` or None, by content: an ending may be missing or wrong."""
    with path.open("rb") as stream:
        head = stream.read(4)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


@contextmanager
def opened(path: Path, files: DataFiles) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file.

    Raises:
        UserError: it cannot be read, or what it is packed in is broken, also while it is read.
    """
    try:
        with _unpacked(path) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{files.where} is not whole: {_line(error)}; pack the file anew.") from None
    except pa.ArrowException as error:
        raise UserError(f"{files.where} cannot be unpacked: {_line(error)}; pack the file anew.") from None
    except IsADirectoryError:
        raise UserError(f"{files.where} is a folder: name the file of rows in it.") from None
    except OSError as error:
        raise UserError(f"{files.where} cannot be read: {error.strerror or _line(error)}.") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    match packing(path):
        case "gzip":
            with gzip.open(path, "rb") as stream:
                yield cast(BinaryIO, stream)
        case "zstd":
            with pa.OSFile(str(path), "rb") as raw, pa.CompressedInputStream(raw, "zstd") as unpacked:
                yield unpacked
        case _:
            with path.open("rb") as plain:
                yield plain


def find_format(path: Path, files: DataFiles) -> Format:
    """The form of a file: as the configuration says, else by its ending, else by its content.

    Raises:
        UserError: it cannot be told, or cannot be read.
    """
    name = path.name.lower()
    if Path(name).suffix in _PACKED:
        name = Path(name).stem
    found = files.format if files.format != "Auto" else _ENDINGS.get(Path(name).suffix)
    with opened(path, files) as stream:
        head = stream.read(_HEAD)
    if head.startswith(_PARQUET) != (found == "Parquet") and (found is None or head.startswith(_PARQUET)):
        if files.format != "Auto" and found != "Parquet":
            raise UserError(f"{files.where} is Parquet: write format: Parquet, or leave it out.")
        found = "Parquet"
    if head.startswith(_OTHER_BOMS):
        raise UserError(f"{files.where} is UTF-16: save the file as UTF-8.")
    # An array of rows is often saved as .json, and so are rows a line.
    if found is None or (found == "JSON" and files.format == "Auto"):
        found = _by_content(head.removeprefix(BOM), files)
    return found


def _by_content(head: bytes, files: DataFiles) -> Format:
    start = head.lstrip()
    if start.startswith(b"["):
        # A row a line that is a list is a fault of JSONL as of JSON.
        return "JSON"
    if start.startswith(b"{") or not start:
        return "JSONL"
    first = start.split(b"\n", 1)[0]
    if b"\0" not in head and any(mark in first for mark in (b",", b";", b"\t")):
        return "CSV"
    raise UserError(f"{files.where} has a form that is not known: write format: JSONL, JSON, CSV or Parquet.")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
