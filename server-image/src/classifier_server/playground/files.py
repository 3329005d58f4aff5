"""The static files of the page, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from classifier_server.dialects.dialect import Rendered
from classifier_server.errors import RequestError

FOLDER = Path(__file__).parent / "static"
# Nothing but the server itself: no other address, no inline script or style, no markup made of text.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file and its validator."""

    content: bytes
    media_type: str
    etag: str


def load(folder: Path = FOLDER) -> dict[str, File]:
    """The files of `folder` by name, those of a known type alone."""
    return {
        path.name: File(content, _TYPES[path.suffix], etag(content))
        for path in sorted(folder.iterdir())
        if path.suffix in _TYPES and (content := path.read_bytes())
    }


def etag(content: bytes) -> str:
    """A strong validator of a body."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def unless_known(answer: Rendered, headers: Iterable[tuple[bytes, bytes]]) -> Rendered:
    """304 in place of an answer that the caller already has, as its If-None-Match says."""
    tag = answer.headers.get("etag")
    asked = b",".join(value for name, value in headers if name == b"if-none-match").decode("latin-1")
    if tag is None or not any(known.strip().removeprefix("W/") in (tag, "*") for known in asked.split(",")):
        return answer
    return Rendered(b"", 304, headers=answer.headers)


def serve(files: Mapping[str, File], name: str) -> Rendered:
    """The file of that name. Raises RequestError 404.

    Browsers keep it and ask each time whether it is still the same, so that a page never runs with the scripts of
    another version.
    """
    file = files.get(name)
    if file is None:
        raise RequestError(404, "There is no such file; the page is at /.")
    headers = {**SECURITY_HEADERS, "cache-control": "no-cache", "etag": file.etag}
    return Rendered(file.content, media_type=file.media_type, headers=headers)
