"""Keys of a Secret: digests alone, closed where there are none."""

from __future__ import annotations

import base64
import hashlib

import pytest

from classifier_operator.controller.api_keys import keys_in


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def secret(*values: bytes) -> dict[str, object]:
    return {"data": {f"key-{number}": base64.b64encode(value).decode() for number, value in enumerate(values)}}


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ((b"one",), ["one"]),
        ((b"one", b"two"), ["one", "two"]),
        ((b" one\r\n", b"\tone"), ["one"]),
        ((b"two words", b""), ["two words"]),
        (("schlüssel".encode(), b" \n"), ["schlüssel"]),
    ],
    ids=str,
)
def test_every_value_is_a_key(values: tuple[bytes, ...], keys: list[str]) -> None:
    view = keys_in(secret(*values), name="keys")
    assert view.problem is None
    assert view.digests == tuple(sorted(digest(key) for key in keys))


@pytest.mark.parametrize("found", [{}, {"data": None}, {"data": {}}, secret(b""), secret(b" \n", b"\t")], ids=str)
def test_without_a_value_it_is_closed(found: dict[str, object]) -> None:
    view = keys_in(found, name="keys")
    assert view.digests == ()
    assert view.problem == (
        "auth.apiKeySecretName: Secret keys has no value: write at least one key into it; until then nobody may ask"
    )


def test_too_many_keys_close_it() -> None:
    values = [b"%d" % number for number in range(501)]
    assert len(keys_in(secret(*values[:500]), name="keys").digests) == 500
    view = keys_in(secret(*values), name="keys")
    assert view.digests == ()
    assert view.problem is not None
    assert "has 501 keys, and at most 500 are possible" in view.problem


def test_nothing_of_a_key_is_kept() -> None:
    assert "hunter2" not in repr(keys_in(secret(b"hunter2"), name="keys"))
