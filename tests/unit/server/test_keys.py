"""API keys: who is let in, and that the folder is followed as the kubelet writes it."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from classifier_server import keys as module
from classifier_server.app import build_app
from classifier_server.config import ServerSettings
from classifier_server.errors import RequestError
from classifier_server.keys import Keys, presented
from classifier_server.routes import Ask, dialect_rows


class Secret:
    """A folder as the kubelet writes it: a folder for each version behind one link, and a link for each file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 0
        folder.mkdir()

    def write(self, **values: bytes) -> None:
        """Replaces the whole content at once."""
        old = self.folder / f"..{self.version}"
        self.version += 1
        (self.folder / f"..{self.version}").mkdir()
        for name, value in values.items():
            (self.folder / f"..{self.version}" / name).write_bytes(value)
        (self.folder / "..new").symlink_to(f"..{self.version}")
        (self.folder / "..new").rename(self.folder / "..data")
        for link in self.folder.iterdir():
            if link.is_symlink() and link.name != "..data" and link.name not in values:
                link.unlink()
        for name in values:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        if old.exists():
            shutil.rmtree(old)


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    return Secret(tmp_path / "keys")


def outcome(keys: Keys, **headers: str) -> int:
    """200, or the status of the refusal."""
    try:
        keys.check([(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()])
    except RequestError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"x-api-key": "a"}, b"a"),
        ({"x-api-key": " a\t"}, b"a"),
        ({"x-api-key": "a", "authorization": "Bearer b"}, b"a"),
        ({"x-api-key": "", "authorization": "Bearer b"}, b"b"),
        ({"authorization": "bearer  b "}, b"b"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Basic b"}, None),
        ({"authorization": "b"}, None),
    ],
)
def test_which_key_a_request_brings(headers: dict[str, str], key: bytes | None) -> None:
    assert presented((name.encode(), value.encode()) for name, value in headers.items()) == key


def test_no_folder_is_open() -> None:
    assert outcome(Keys()) == outcome(Keys(None), x_api_key="anything") == 200


def test_every_value_is_a_key(secret: Secret) -> None:
    secret.write(first=b"one\n", second="  zw\u00f6lf ".encode(), empty=b" \n")
    keys = Keys(str(secret.folder))
    assert [outcome(keys, x_api_key=key) for key in ("one", "zw\u00f6lf", "first", "On", "", "one two")] == [
        *(200, 200, 401, 401, 401, 401)
    ]
    assert outcome(keys, authorization="Bearer one") == 200
    assert outcome(keys, x_api_key="two", authorization="Bearer one") == 401  # the first header decides
    assert outcome(keys) == 401


def test_a_folder_without_links_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "key").write_text("one")
    assert outcome(Keys(str(tmp_path)), x_api_key="one") == 200


def test_missing_and_empty_close(secret: Secret, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", secret.folder):
        keys = Keys(str(folder))
        with pytest.raises(RequestError, match="The deployment has no API key") as refused:
            keys.check([(b"x-api-key", b"one")])
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "5"})
    secret.write(key=b"\n")
    assert outcome(Keys(str(secret.folder)), x_api_key="") == 503


def test_unreadable_closes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("one")
    assert outcome(Keys(str(tmp_path / "file")), x_api_key="one") == 503
    assert "cannot be read: Not a directory" in caplog.text


def test_changes_are_followed(secret: Secret) -> None:
    keys = Keys(str(secret.folder))
    for values, expected in [
        ({"a": b"one"}, (200, 401)),
        ({"a": b"one", "b": b"two"}, (200, 200)),
        ({"a": b"two"}, (401, 200)),
        ({}, (503, 503)),
        ({"a": b"one"}, (200, 401)),
    ]:
        secret.write(**values)
        keys.reload()
        assert (outcome(keys, x_api_key="one"), outcome(keys, x_api_key="two")) == expected
    shutil.rmtree(secret.folder)
    keys.reload()
    assert outcome(keys, x_api_key="one") == 503


def test_a_change_is_never_seen_half(secret: Secret) -> None:
    """Both keys stand in every version, so that neither may ever be refused."""
    secret.write(a=b"one", b=b"two")
    keys = Keys(str(secret.folder))
    done = threading.Event()

    def write() -> None:
        for number in range(200):
            secret.write(**({"a": b"one", "b": b"two"} if number % 2 else {"a": b"two", "b": b"one"}))
            done.wait(0.001)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    refused = 0
    while not done.is_set():
        keys.reload()
        refused += outcome(keys, x_api_key="one") != 200
    writer.join()
    assert refused == 0


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.POLL_SECONDS == 5
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


def test_the_folder_is_watched(secret: Secret, quick_polls: None) -> None:
    keys = Keys(str(secret.folder))
    keys.watch()
    secret.write(a=b"one")
    ready = threading.Event()
    for _ in range(1000):
        if outcome(keys, x_api_key="one") == 200:
            break
        ready.wait(0.01)
    assert outcome(keys, x_api_key="one") == 200


def test_keys_are_never_logged(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret.write(a=b"topsecret")
    keys = Keys(str(secret.folder))
    outcome(keys, x_api_key="guess")
    assert "API keys: 1" in caplog.text
    assert "topsecret" not in caplog.text
    assert "guess" not in caplog.text


async def test_over_http(make_service: Any, secret: Secret) -> None:
    secret.write(a=b"one")
    service = make_service()
    transport = httpx.ASGITransport(build_app(service.state, service.metrics, Keys(str(secret.folder))))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        for path in ("/health", "/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/docs", "/openapi.json", "/metrics", "/nowhere"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            status = (await client.get(path, headers={"X-API-Key": "one"})).status_code
            assert status == (404 if path == "/nowhere" else 200)
        # the key comes before everything else that may be wrong
        refused = await client.post("/v1/classification", content=b"{")
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "invalid_request_error")
        assert refused.json()["error"]["message"].startswith("An API key is needed: ")
        assert service.state.stats()["secondsSinceLastCompletion"] is None
        answer = await client.post("/v1/classification", json={"input": "1"}, headers={"Authorization": "Bearer one"})
        assert answer.status_code == 200


def example_of(row: Ask) -> str:
    return row.path.replace("{name:path}", "r8").replace("{version}", "epoch-3")


ASKS = [row for row in dialect_rows(ServerSettings()) if isinstance(row, Ask)]


@pytest.mark.parametrize("row", ASKS, ids=lambda row: str(row.path))
@pytest.mark.parametrize("header", [{}, {"X-API-Key": "two"}, {"Authorization": "Bearer two"}])
async def test_every_dialect_asks_for_the_key_in_its_own_shape(
    make_service: Any, secret: Secret, row: Ask, header: dict[str, str]
) -> None:
    service = make_service()
    for values, status in (({"a": b"one"}, 401), ({}, 503)):
        secret.write(**values)
        transport = httpx.ASGITransport(build_app(service.state, service.metrics, Keys(str(secret.folder))))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            answer = await client.post(example_of(row), json={}, headers=header)
            assert answer.status_code == status
            assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)
            TypeAdapter(row.dialect.error).validate_json(answer.content, strict=True)
            if status == 401:
                for name, value in (("X-API-Key", "one"), ("Authorization", "Bearer one")):
                    let_in = await client.post(example_of(row), json={}, headers={name: value})
                    assert let_in.status_code in (400, 422)


def test_open_is_what_tells_health_and_readiness() -> None:
    opened = {row.path for row in dialect_rows(ServerSettings()) if row.open}
    assert opened == {
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name:path}/ready",
        "/v2/models/{name:path}/versions/{version}/ready",
    }
