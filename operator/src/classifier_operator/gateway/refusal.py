"""What is answered instead of a server: one sentence in one shape, the server's own."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from aiohttp import web

Reason = Literal[
    "Malformed",
    "HeadersTooLarge",
    "BodyTooLarge",
    "TooSlow",
    "Encoding",
    "NoSuchPath",
    "NoSuchMethod",
    "NoKey",
    "NoKeys",
    "Refused",
    "Gone",
    "MaxHeld",
    "Memory",
    "WillNotWait",
    "HoldTimeout",
    "WakeFailed",
    "Stopping",
    "PodTimeout",
    "PodBroke",
    "Internal",
]

SERVER_NAME: Final = "classifier-gateway"


class RefusalError(Exception):
    """A request that the gateway refuses, with one sentence that never echoes it.

    Args:
        reason: a word for the metrics.
        retry_after: seconds after which trying again may help; None: there is no telling.
        field: the header that is wrong.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: Reason,
        retry_after: int | None = None,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason: Reason = reason
        self.field = field
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def render(self) -> bytes:
        """The body: JSON, as the server's own dialect writes its errors."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        detail: dict[str, Any] = {"message": self.message, "type": kind, "code": self.status}
        if self.field is not None:
            detail["param"] = self.field
        return json.dumps({"error": detail}, ensure_ascii=False).encode()

    def response(self) -> web.Response:
        """The whole answer."""
        return answer(self.status, self.render(), "application/json", self.headers)


def answer(
    status: int, body: bytes, media_type: str, headers: Mapping[str, str] | None = None, *, close: bool = True
) -> web.Response:
    """An answer of the gateway's own."""
    made = web.Response(
        status=status,
        body=body,
        headers={
            "Content-Type": media_type,
            "Cache-Control": "no-store",
            "Server": SERVER_NAME,
            **({"Connection": "close"} if close else {}),
            **(headers or {}),
        },
    )
    if close:
        made.force_close()
    return made
