"""Files and archives by https, never from a link-local address, also not by a redirect."""

from __future__ import annotations

import hashlib
import socket
import ssl
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
from fsspec.callbacks import Callback
from fsspec.implementations.http import HTTPFileSystem

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch.base import Fetched, Progress, first_line, safe_name, shown, split_url, written
from classifier_artifacts.fetch.guard import is_refused

MAX_ARCHIVE_BYTES = 1 << 40
MAX_ARCHIVE_FILES = 10_000
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=60, sock_connect=30, sock_read=120)
_MUST_MEND = (400, 401, 403, 404, 405, 410, 451)


def fetch_file(uri: str, what: str, folder: Path, progress: Progress | None) -> Fetched:
    """One file.

    Raises:
        UserError: it does not exist, may not be read, or lies behind an address that is refused.
        TransientError: the server cannot be reached, or fails.
    """
    parts = split_url(uri)
    if parts is None:
        raise UserError(f"{what}: '{shown(uri)}' does not name a file: write https://host/path.")
    target = folder / safe_name(unquote(parts.path), what, uri)
    with written(target) as temporary:
        _download(uri, what, temporary, progress)
    with target.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Fetched(shown(uri), (target,), f"sha256:{digest}")


def fetch_archive(uri: str, what: str, folder: Path, progress: Progress | None) -> Fetched:
    """The folder in a tar archive, packed or not.

    Raises:
        UserError: as `fetch_file`, or it is no archive of a folder.
        TransientError: as `fetch_file`.
    """
    archive = fetch_file(uri, what, folder, progress)
    target = folder / "unpacked"
    try:
        with written(target) as temporary:
            temporary.mkdir()
            _unpack(archive.path, temporary, uri, what)
    finally:
        archive.path.unlink(missing_ok=True)
    found = target
    # An archive often holds one folder, which is the model.
    inside = sorted(found.iterdir())
    if len(inside) == 1 and inside[0].is_dir():
        found = inside[0]
    return Fetched(archive.uri, (found,), archive.version)


def _unpack(archive: Path, folder: Path, uri: str, what: str) -> None:
    total = files = 0
    try:
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                total, files = total + member.size, files + 1
                if total > MAX_ARCHIVE_BYTES or files > MAX_ARCHIVE_FILES:
                    raise UserError(
                        f"{what}: '{shown(uri)}' holds more than {MAX_ARCHIVE_FILES} files or "
                        f"{MAX_ARCHIVE_BYTES >> 30} GiB: name the archive of one model."
                    )
                # The filter refuses names that leave the folder, devices, and links out of it.
                members.extract(member, folder, filter="data")
    except tarfile.FilterError as error:
        raise UserError(f"{what}: '{shown(uri)}' is refused: {first_line(error)}; pack the folder anew.") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(f"{what}: '{shown(uri)}' is not a whole tar archive: {first_line(error)}.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise UserError(f"{what}: '{shown(uri)}' is not a whole tar archive: {first_line(error)}.") from None
    if not files:
        raise UserError(f"{what}: '{shown(uri)}' is an empty archive.")


def _download(uri: str, what: str, target: Path, progress: Progress | None) -> None:
    refused: list[str] = []
    with _errors(uri, what, refused):
        system = HTTPFileSystem(get_client=_client(refused), skip_instance_cache=True, use_listings_cache=False)
        try:
            system.get_file(uri, str(target), callback=_Told(progress))
        finally:
            if system._session is not None:
                system.close_session(system.loop, system._session)


class _Told(Callback):  # type: ignore[misc]  # fsspec has no types
    """fsspec's callback, passed on."""

    def __init__(self, progress: Progress | None) -> None:
        super().__init__()
        self._progress = progress

    def call(self, *_: object, **__: object) -> None:
        if self._progress is not None:
            self._progress(self.value, self.size)


def _client(refused: list[str]) -> Any:
    """A client whose every connection is looked at after its name was resolved, those of redirects included."""

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if is_refused(str(address[0])):
            refused.append("a link-local address")
            raise OSError("a refused address")
        return socket.socket(family=family, type=kind, proto=protocol)

    class Connector(aiohttp.TCPConnector):
        async def connect(self, req: aiohttp.ClientRequest, *args: Any, **options: Any) -> Any:
            if req.url.scheme != "https":
                refused.append("an address without TLS")
                raise OSError("a refused address")
            return await super().connect(req, *args, **options)

    async def get_client(**options: Any) -> aiohttp.ClientSession:
        connector = Connector(ssl=ssl.create_default_context(), socket_factory=make_socket)
        options.pop("loop")  # the running one
        return aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, **options)

    return get_client


@contextmanager
def _errors(uri: str, what: str, refused: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if refused:
            raise UserError(f"{what}: '{shown(uri)}' leads to {refused[0]}, which is refused.") from None
        match error:
            case FileNotFoundError():
                raise UserError(f"{what}: '{shown(uri)}' does not exist (404): check the address.") from None
            case aiohttp.ClientResponseError(status=status) if status in _MUST_MEND:
                hint = "name an address that is signed or open" if status in (401, 403) else "check the address"
                raise UserError(f"{what}: '{shown(uri)}' is not given ({status} {error.message}): {hint}.") from None
            case aiohttp.InvalidURL() | aiohttp.TooManyRedirects():
                raise UserError(f"{what}: '{shown(uri)}' leads nowhere: {type(error).__name__}.") from None
            case aiohttp.ClientConnectorCertificateError():
                raise UserError(
                    f"{what}: the certificate of '{shown(uri)}' is not trusted: name a host with a valid one."
                ) from None
            case OSError() if error.filename is not None or error.errno is not None:
                if not isinstance(error, aiohttp.ClientError):
                    raise
        if isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
            raise TransientError(f"{what}: '{shown(uri)}' could not be downloaded: {_said(error)}") from error
        raise


def _said(error: BaseException) -> str:
    # aiohttp's errors may hold the whole URL with its query.
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return first_line(error).partition("?")[0]
