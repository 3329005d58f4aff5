"""What all ways to fetch something have in common."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from classifier_artifacts.errors import TransientError, UserError

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here, and how many there will be if that is known."""


@dataclass(frozen=True)
class Fetched:
    """What a URI stood for.

    Attributes:
        uri: as the user wrote it, without passwords and queries.
        paths: one path, or several files of rows.
        version: what exactly was fetched, for run.json: a commit of the hub, or `etag:…`, `sha256:…`; None for a path.
    """

    uri: str
    paths: tuple[Path, ...]
    version: str | None = None

    @property
    def path(self) -> Path:
        """The only path."""
        return self.paths[0]


def scheme_of(uri: str) -> str:
    """`s3` of `s3://…`; empty without one."""
    return uri.partition("://")[0].lower() if "://" in uri else ""


def shown(uri: str) -> str:
    """The URI for messages: a query may hold a signature, and the host a password."""
    if scheme_of(uri) not in ("http", "https"):
        return uri
    parts = split_url(uri)
    if parts is None:
        return uri.partition("?")[0]
    query = "…" if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def split_url(uri: str) -> SplitResult | None:
    """The parts of a URL; None where it has none that can be told apart."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A name to write a file or folder under, which becomes `target` at the end, at once.

    Raises:
        TransientError: the disk is full.
    """
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    _remove(temporary)
    try:
        yield temporary
        _remove(target)
        temporary.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError(f"no room left on this machine for {target.name}: {error.strerror}.") from error
        raise
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def safe_name(name: str, what: str, uri: str) -> str:
    """The last part of a remote name as the name of a file here, whose ending tells its form.

    Raises:
        UserError: it is none.
    """
    last = name.rstrip("/").rpartition("/")[2]
    if not last or last in (".", "..") or "\0" in last or len(last.encode()) > 200:
        raise UserError(f"{what}: '{shown(uri)}' does not end in the name of a file: name the file itself.")
    return last


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
