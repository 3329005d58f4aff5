"""The head of a request: checked, and what of it goes on to a pod."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from classifier_operator.gateway.refusal import RefusalError

MAX_HEAD_BYTES: Final = 16 * 1024
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""Headers that concern one connection only (RFC 9110 section 7.6.1)."""
_NEVER_FORWARDED: Final = _HOP_BY_HOP | {b"content-length", b"expect"}
_OUR_PREFIX: Final = b"x-classifier-"

RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """Method, target and headers of a request.

    Attributes:
        target: path and query as they were sent.
        path: the path alone, with its escapes resolved.
        size: bytes of it all.
    """

    method: str
    target: str
    path: str
    headers: CIMultiDictProxy[str]
    raw_headers: RawHeaders
    size: int

    def forwarded(self) -> CIMultiDict[str]:
        """The headers for a pod: without those of this connection, and without those that only we set."""
        return _kept(self.raw_headers, _NEVER_FORWARDED)


def read_head(request: web.BaseRequest) -> Head:
    """The head of a request.

    Raises:
        RefusalError: 400, 405, 415 or 431.
    """
    message = request._message  # the raw target and headers are nowhere else
    size = len(message.method) + len(message.path)
    size += sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    if size > MAX_HEAD_BYTES:
        raise too_large()
    if message.method not in _METHODS:
        raise RefusalError(405, "This method is never answered here.", reason="NoSuchMethod")
    headers = message.headers
    if "Transfer-Encoding" in headers and "Content-Length" in headers:
        raise RefusalError(
            400, "Content-Length and Transfer-Encoding exclude each other: send one.", reason="Malformed",
            field="Transfer-Encoding",
        )  # fmt: skip
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise RefusalError(415, "Transfer-Encoding may only be chunked.", reason="Encoding", field="Transfer-Encoding")
    if headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise RefusalError(
            415, "Content-Encoding is not taken: send the body as it is.", reason="Encoding", field="Content-Encoding"
        )
    for _, value in message.raw_headers:
        if not value.isascii():
            _check_utf8(value)
    target = _origin_form(message.path)
    return Head(
        method=message.method,
        target=target,
        path=unquote(target.partition("?")[0]),
        headers=headers,
        raw_headers=message.raw_headers,
        size=size,
    )


def too_large() -> RefusalError:
    """The refusal of a head that is too large."""
    return RefusalError(431, f"The headers are larger than {MAX_HEAD_BYTES // 1024} KiB.", reason="HeadersTooLarge")


def passed_on(raw_headers: RawHeaders) -> CIMultiDict[str]:
    """The headers of a pod's answer for the caller: without those of the connection to the pod."""
    return _kept(raw_headers, _HOP_BY_HOP, ours=True)


def _kept(raw_headers: RawHeaders, dropped: frozenset[bytes], *, ours: bool = False) -> CIMultiDict[str]:
    lowered = [(name.lower(), name, value) for name, value in raw_headers]
    named = _named_by_connection(value for lower, _, value in lowered if lower == b"connection")
    kept: CIMultiDict[str] = CIMultiDict()
    for lower, name, value in lowered:
        if lower in dropped or lower in named or (not ours and lower.startswith(_OUR_PREFIX)):
            continue
        kept.add(name.decode("ascii", "replace"), value.decode("utf-8", "replace"))
    return kept


def _named_by_connection(values: Iterable[bytes]) -> frozenset[bytes]:
    """What `Connection` declares to concern this connection only; never what makes a message what it is."""
    named = {token.strip().lower() for value in values for token in value.split(b",")}
    return frozenset(named - {b"", b"close", b"keep-alive", b"host", b"content-type", b"content-length"})


def _origin_form(target: str) -> str:
    """Path and query of a target that may be a whole URL, as a proxy is asked."""
    if target.startswith("/"):
        return target
    _, scheme, rest = target.partition("://")
    if not scheme:
        raise RefusalError(400, "The target of a request must be a path that begins with a slash.", reason="Malformed")
    begin = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[begin:]
    return path if path.startswith("/") else f"/{path}"


def _check_utf8(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError:
        raise RefusalError(400, "The value of a header is not UTF-8.", reason="Malformed") from None
