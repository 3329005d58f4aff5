"""API keys: the same answer as the server gives, from digests alone. Pure."""

import hashlib
import hmac
from collections.abc import Iterable

from classifier_operator.gateway.refusal import RefusalError

_BLANKS = b" \t\r\n"
_CLOSED_SECONDS = 60
"""A change of the Secret is in force within this time."""


def check_key(digests: Iterable[str] | None, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Lets a request pass, or does not.

    Args:
        digests: SHA-256 of each key; None: everybody may ask; empty: nobody.
        headers: names and values as they were sent.

    Raises:
        RefusalError: 401 (no key or another one) or 503 (there is no key to compare with).
    """
    if digests is None:
        return
    wanted = tuple(digests)
    if not wanted:
        raise RefusalError(
            503,
            "The deployment has no API key: its Secret is missing or empty, write at least one value.",
            reason="NoKeys",
            retry_after=_CLOSED_SECONDS,
        )
    key = presented(headers)
    digest = hashlib.sha256(key or b"").hexdigest()
    known = False
    for each in wanted:  # all of them, so that the time tells nothing
        known |= hmac.compare_digest(each, digest)
    if key is None or not known:
        sentence = "The API key is not known" if key is not None else "An API key is needed"
        raise RefusalError(
            401,
            f"{sentence}: send it in the header X-API-Key, or as Authorization: Bearer.",
            reason="NoKey",
            headers={"WWW-Authenticate": "Bearer"},
        )


def presented(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key that a request brings: X-API-Key where it is there, else the token of `Authorization: Bearer`."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value.strip(_BLANKS))
    if found.get(b"x-api-key"):
        return found[b"x-api-key"]
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    return token.strip(_BLANKS) or None if scheme.lower() == b"bearer" else None
