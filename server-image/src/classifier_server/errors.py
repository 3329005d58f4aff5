"""What can go wrong with one request, as the HTTP edge tells it. Light: imports nothing heavy."""

from __future__ import annotations


class RequestError(Exception):
    """A request that is refused: an HTTP status and one sentence that never echoes the input.

    `field` is the place in the request that is wrong (`input[3]`), `headers` are sent beside the answer.
    """

    def __init__(self, status: int, message: str, *, field: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.headers = headers or {}

    def with_status(self, status: int) -> RequestError:
        """The same error with another HTTP status."""
        return RequestError(status, self.message, field=self.field, headers=self.headers)


class ClientGoneError(Exception):
    """The caller closed the connection before the answer was ready; nobody is left to be told."""
