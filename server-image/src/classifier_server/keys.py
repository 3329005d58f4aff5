"""API keys: the files of a folder, which Kubernetes keeps equal to a Secret. Held as digests, never logged."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from classifier_server.errors import RequestError

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
_ATTEMPTS = 10
_BLANKS = b" \t\r\n"

Headers = Iterable[tuple[bytes, bytes]]


class Keys:
    """Who may ask. Without a folder everyone may; with one whoever sends a key that stands in it now.

    A folder that is missing, empty or cannot be read closes: nobody may ask.
    """

    def __init__(self, folder: str | None = None) -> None:
        """Reads `folder` once; `watch` keeps up with it."""
        self._folder = None if folder is None else Path(folder)
        self._digests: tuple[bytes, ...] = ()
        if self._folder is not None:
            self.reload()
            if not self._digests:
                logger.warning("no API key in %s: every request is refused until there is one", folder)

    def check(self, headers: Headers) -> None:
        """Raises RequestError 401 (no key or another one) or 503 (there is no key to compare with)."""
        if self._folder is None:
            return
        digests = self._digests
        if not digests:
            raise RequestError(
                503,
                "The deployment has no API key: its Secret is missing or empty, write at least one value.",
                headers={"retry-after": str(round(POLL_SECONDS))},
            )
        key = presented(headers)
        digest = hashlib.sha256(key or b"").digest()
        known = False
        for each in digests:  # all of them, so that the time tells nothing
            known |= hmac.compare_digest(each, digest)
        if key is None or not known:
            sentence = "The API key is not known" if key is not None else "An API key is needed"
            raise RequestError(
                401,
                f"{sentence}: send it in the header X-API-Key, or as Authorization: Bearer.",
                headers={"www-authenticate": "Bearer"},
            )

    def reload(self) -> None:
        """Reads the folder anew."""
        if self._folder is None:
            return
        digests = _read(self._folder)
        if digests != self._digests:
            logger.info("API keys: %d", len(digests))
            self._digests = digests

    def watch(self) -> None:
        """Reads the folder anew every five seconds, in a thread that ends with the process."""
        if self._folder is not None:
            threading.Thread(target=self._poll, name="keys", daemon=True).start()

    def _poll(self) -> None:
        pause = threading.Event()
        while not pause.wait(POLL_SECONDS):
            self.reload()


def presented(headers: Headers) -> bytes | None:
    """The key that a request brings: X-API-Key where it is there, else the token of `Authorization: Bearer`."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name, value.strip(_BLANKS))
    if found.get(b"x-api-key"):
        return found[b"x-api-key"]
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    return token.strip(_BLANKS) or None if scheme.lower() == b"bearer" else None


def _read(folder: Path) -> tuple[bytes, ...]:
    """Digests of the folder's values; none where it is missing or cannot be read."""
    # The content stands behind one link, which the kubelet replaces before it removes what the link led to.
    link = folder / "..data"
    for _ in range(_ATTEMPTS):
        content = Path(os.path.realpath(link))
        try:
            files = list((content if content.is_dir() else folder).iterdir())
            values = {file.read_bytes().strip(_BLANKS) for file in files if file.is_file()} - {b""}
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("the API keys in %s cannot be read: %s", folder, error.strerror)
            return ()
        if content == Path(os.path.realpath(link)):
            return tuple(sorted(hashlib.sha256(value).digest() for value in values))
    return ()
