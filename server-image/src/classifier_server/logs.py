"""What the process writes to stderr: a line for each thing worth telling, as JSON where a machine collects it.

A line about a request has fields of its own (`extra={"fields": …}`), in the text form `key=value` behind the message.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from classifier_artifacts.errors import UserError

LEVEL_VARIABLE: Final = "CLASSIFIER_LOG_LEVEL"
FORMAT_VARIABLE: Final = "CLASSIFIER_LOG_FORMAT"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS: Final = ("Auto", "JSON", "Text")

# They tell of every request that they send or answer, with addresses and headers.
_CHATTY = ("asyncio", "httpx", "httpx2", "huggingface_hub", "uvicorn.error", "urllib3")


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """The `extra` of a log call."""
    return {"fields": values}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and the record's fields; an exception as text."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of an exception."""
        words = [_time(record), record.levelname, record.getMessage()]
        words += [f"{name}={value}" for name, value in getattr(record, "fields", {}).items()]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sends everything from `level` on to stderr (`stream`); Auto is text on a terminal, else JSON.

    Raises UserError where `level` or `form` is none of LEVELS or FORMATS, in whatever case.
    """
    chosen = _one_of(form, FORMATS, "--log-format")
    lowest = _one_of(level, LEVELS, "--log-level")
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    as_text = chosen == "Text" or (chosen == "Auto" and target.isatty())
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.basicConfig(level=lowest, handlers=[handler])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _one_of(value: str, known: Sequence[str], option: str) -> str:
    found = next((name for name in known if name.lower() == value.lower()), None)
    if found is None:
        raise UserError(f"{option}: write one of {', '.join(known)}.")
    return found


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
