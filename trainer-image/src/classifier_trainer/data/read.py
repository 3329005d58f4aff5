"""Reads JSONL: a row is {"prompt": text, "completion": {label: 0 | 1, ...}}."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from classifier_trainer.data.faults import Faults, shown
from classifier_trainer.data.rows import Rows
from classifier_trainer.errors import UserError

_BOM = b"\xef\xbb\xbf"


class _DuplicateError(ValueError):
    """An object names a key twice."""


def read_jsonl(path: Path, field: str, uri: str) -> Rows:
    """Reads the file at `path`; `field` and `uri` are what messages call it.

    Raises:
        UserError: the file cannot be read, is empty, or has faults, all of them in one message.
    """
    rows = Rows(field, uri, [], [], [], [])
    faults = Faults(field, uri)
    empty: list[int] = []
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.removeprefix(_BOM) if number == 1 else raw
                if line.strip():
                    _row(line, number, rows, faults, empty)
    except IsADirectoryError:
        raise UserError(f"{field} '{uri}' is a folder: name the JSONL file in it.") from None
    except OSError as error:
        raise UserError(f"{field} '{uri}' cannot be read: {error.strerror}.") from error
    faults.raise_any()
    if not rows.prompts:
        raise UserError(
            f'{field} \'{uri}\' is empty: write a row a line, {{"prompt": text, "completion": {{label: 0 or 1}}}}.'
        )
    if empty:
        some = f"line {empty[0]}" + (f" and {len(empty) - 1} more" if len(empty) > 1 else "")
        rows.warnings.append(f"{field}: {some} has an empty prompt")
    return rows


def _row(line: bytes, number: int, rows: Rows, faults: Faults, empty: list[int]) -> None:
    line = line.rstrip(b"\r\n")
    try:
        # Only the bytes say where a character is broken, and surrogates must not pass as texts.
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        return faults.add(number, f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8")
    except _DuplicateError as error:
        return faults.add(number, f"names {error} twice")
    except json.JSONDecodeError as error:
        return faults.add(number, f"is not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError):
        return faults.add(number, "is not JSON that can be read (a number too long or nested too deep)")
    if fault := _fault(row):
        return faults.add(number, fault)
    prompt: str = row["prompt"]
    if not prompt.strip():
        empty.append(number)
    rows.lines.append(number)
    rows.prompts.append(prompt)
    rows.completions.append({label: int(value) for label, value in row["completion"].items()})
    return None


def _fault(row: Any) -> str | None:
    """What is wrong with a parsed row; None if nothing is."""
    if not isinstance(row, dict):
        return 'is not an object: write {"prompt": …, "completion": …}'
    if "prompt" not in row:
        return "has no prompt"
    if not isinstance(row["prompt"], str):
        return "has a prompt that is not a text"
    if not _encodable(row["prompt"]):
        return "has a prompt with half a surrogate pair (\\ud800 to \\udfff): write the whole character"
    if "completion" not in row:
        return "has no completion"
    completion = row["completion"]
    if not isinstance(completion, dict):
        return "has a completion that is not an object: write {label: 0 or 1}"
    for label, value in completion.items():
        if not label.strip() or not _encodable(label):
            return "has a label without a name"
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
            return f"has the value {_value(value)} for label {shown(label)}: write 0 or 1"
    return None


def _value(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        raise _DuplicateError(shown(next(name for name in names if names.count(name) > 1)))
    return found
