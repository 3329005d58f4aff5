"""Files and archives by https, against a server with TLS on this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch import fetch_data, fetch_model, https
from classifier_artifacts.fetch.guard import check_endpoint, is_refused
from support.https_server import Answer, certificate, serving

ROWS = b'{"prompt": "a", "completion": "x"}\n' * 1000


def archive(members: dict[str, bytes], mode: str = "w:gz", links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]  # the mode is a variable
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)
    return buffer.getvalue()


ANSWERS: dict[str, Answer] = {
    "/rows.jsonl?signature=secret": Answer(ROWS),
    "/cut.jsonl": Answer(ROWS, cut=100),
    "/403": Answer(status=403),
    "/401": Answer(status=401),
    "/500?signature=secret": Answer(status=500),
    "/429": Answer(status=429),
    "/metadata": Answer(status=302, headers={"Location": "https://169.254.169.254/latest"}),
    "/metadata6": Answer(status=302, headers={"Location": "https://[fe80::1]/latest"}),
    "/mapped": Answer(status=302, headers={"Location": "https://[::ffff:169.254.169.254]/latest"}),
    "/plain": Answer(status=302, headers={"Location": "http://localhost/x"}),
    "/loop": Answer(status=302, headers={"Location": "/loop"}),
    "/moved": Answer(status=302, headers={"Location": "/rows.jsonl?signature=secret"}),
    "/model.tar.gz": Answer(archive({"model/config.json": b"{}", "model/sub/a.txt": b"a"})),
    "/flat.tar": Answer(archive({"config.json": b"{}", "tokenizer.json": b"{}"}, "w")),
    "/out.tar.gz": Answer(archive({"../../out": b"x"})),
    "/link.tar.gz": Answer(archive({"a": b"x"}, links={"b": "/etc/passwd"})),
    "/cut.tar.gz": Answer(archive({"a": bytes(range(256)) * 400})[:-40]),
    "/no.tar.gz": Answer(gzip.compress(b"no archive" * 100)),
    "/words.tar.gz": Answer(b"words"),
    "/empty.tar.gz": Answer(archive({})),
    "/many.tar.gz": Answer(archive({f"f{n}": b"" for n in range(30)})),
    "/big.tar.gz": Answer(archive({"f": b"\0" * 100_000})),
}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with serving(lambda path: ANSWERS.get(path, Answer(status=404)), tls) as (address, _):
        yield address


def test_file(server: str, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    found = fetch_data(
        f"{server}/rows.jsonl?signature=secret",
        {},
        what="trainDataset.uri",
        folder=tmp_path,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert found.path.name == "rows.jsonl"
    assert found.path.read_bytes() == ROWS
    assert found.uri == f"{server}/rows.jsonl?…"
    assert found.version == f"sha256:{hashlib.sha256(ROWS).hexdigest()}"
    assert steps[-1] == (len(ROWS), len(ROWS))
    assert fetch_data(f"{server}/moved", {}, what="x", folder=tmp_path).path.read_bytes() == ROWS


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/absent", UserError, "does not exist (404): check the address"),
        ("/403", UserError, "is not given (403 Forbidden): name an address that is signed or open"),
        ("/401", UserError, "is not given (401"),
        ("/loop", UserError, "leads nowhere: TooManyRedirects"),
        ("/metadata", UserError, "leads to a link-local address, which is refused"),
        ("/metadata6", UserError, "leads to a link-local address, which is refused"),
        ("/mapped", UserError, "leads to a link-local address, which is refused"),
        ("/plain", UserError, "leads to an address without TLS, which is refused"),
        ("/500?signature=secret", TransientError, "could not be downloaded: 500"),
        ("/429", TransientError, "could not be downloaded: 429"),
        ("/cut.jsonl", TransientError, "could not be downloaded"),
    ],
)
def test_what_the_server_says(server: str, tmp_path: Path, path: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        fetch_data(f"{server}{path}", {}, what="trainDataset.uri", folder=tmp_path)
    assert words in str(caught.value)
    assert str(caught.value).startswith("trainDataset.uri: '")
    assert "secret" not in str(caught.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_link_local_by_name_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("169.254.169.254", "[fe80::1%25eth0]", "[fd00:ec2::254]"):
        with pytest.raises((UserError, TransientError)) as caught:
            fetch_data(f"https://{host}/latest/meta-data", {}, what="x", folder=tmp_path)
        assert "refused" in str(caught.value) or "leads nowhere" in str(caught.value)


def test_nobody_there(tmp_path: Path) -> None:
    with serving(lambda _path: Answer()) as (address, _):
        pass
    with pytest.raises(TransientError, match="could not be downloaded"):
        fetch_data(address.replace("http:", "https:") + "/x", {}, what="x", folder=tmp_path)


def test_certificate_that_is_not_trusted(tls: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        serving(lambda _path: Answer(ROWS), tls) as (address, _),
        pytest.raises(UserError, match=r"the certificate of .* is not trusted"),
    ):
        fetch_data(f"{address}/x", {}, what="x", folder=tmp_path)


@pytest.mark.parametrize("name", ["model.tar.gz", "flat.tar"])
def test_archive(server: str, tmp_path: Path, name: str) -> None:
    found = fetch_model(f"{server}/{name}", {}, what="baseModel.uri", folder=tmp_path)
    assert (found.path / "config.json").read_bytes() == b"{}"
    assert not list(tmp_path.rglob("*.tar*"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.tar.gz", "is refused: .*would be extracted to .* which is outside"),
        ("link.tar.gz", "is refused: .*absolute path"),
        ("cut.tar.gz", "is not a whole tar archive"),
        ("no.tar.gz", "is not a whole tar archive"),
        ("words.tar.gz", "is not a whole tar archive"),
        ("empty.tar.gz", "is an empty archive"),
        ("many.tar.gz", "holds more than 20 files or 0 GiB"),
        ("big.tar.gz", "holds more than 20 files or 0 GiB"),
    ],
)
def test_archives_that_are_refused(
    server: str, tmp_path: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "files" in words:
        monkeypatch.setattr(https, "MAX_ARCHIVE_FILES", 20)
        monkeypatch.setattr(https, "MAX_ARCHIVE_BYTES", 99_999)
    with pytest.raises(UserError, match=words):
        fetch_model(f"{server}/{name}", {}, what="baseModel.uri", folder=tmp_path / "in")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True),
        ("169.253.255.255", False),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("febf::1", True),
        ("fec0::1", False),
        ("::ffff:169.254.1.1", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("no address", True),
    ],
)
def test_addresses(address: str, refused: bool) -> None:
    assert is_refused(address) is refused


@pytest.mark.parametrize("url", ["http://169.254.169.254", "https://[fe80::1]:9000/x", "no url"])
def test_endpoints(url: str) -> None:
    with pytest.raises(UserError, match="AWS_ENDPOINT_URL"):
        check_endpoint(url, "AWS_ENDPOINT_URL")
    check_endpoint("http://127.0.0.1:9000", "AWS_ENDPOINT_URL")
