from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from classifier_server.dialects.dialect import Rendered
from classifier_server.errors import RequestError
from classifier_server.playground.files import FOLDER, etag, load, serve, unless_known

NAMES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
_IMPORT = re.compile(r'^import \{[^}]*\} from "(.*?)";$', re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/playground/index.html", "text/html; charset=utf-8"),
        ("/playground/style.css", "text/css; charset=utf-8"),
        ("/playground/main.js", "text/javascript; charset=utf-8"),
        ("/playground/icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_types_and_may_load_nothing_from_elsewhere(
    client: httpx.AsyncClient, path: str, media_type: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.content == (FOLDER / (path.rsplit("/", 1)[1] or "index.html")).read_bytes()
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    sources = {name: value for name, value in policy.items() if name.endswith("-src")}
    assert sources.pop("default-src") == "'none'"
    assert set(sources.values()) == {"'self'"}


async def test_what_the_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers
    other = await client.get("/playground/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (other.status_code, len(other.content) > 0) == (200, True)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b'"tag"', 304),
        (b'W/"tag"', 304),
        (b'"other", "tag"', 304),
        (b"*", 304),
        (b'"other"', 200),
        (b"tag", 200),
        (b"", 200),
    ],
)
def test_if_none_match(asked: bytes, status: int) -> None:
    answer = Rendered(b"content", headers={"etag": '"tag"'})
    assert unless_known(answer, [(b"if-none-match", asked)]).status == status
    assert unless_known(Rendered(b"content"), [(b"if-none-match", asked)]).status == 200
    assert unless_known(answer, []).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/playground/",
        "/playground/nothing.js",
        "/playground/../pages.py",
        "/playground/..%2fpages.py",
        "/playground/%2e%2e%2fpages.py",
        "/playground/..%5cpages.py",
        "/playground/%2fetc%2fpasswd",
        "/playground/static/main.js",
        "/playground/main.js%00",
        "/playground//main.js",
        "/playground/MAIN.js",
    ],
)
async def test_other_files_are_out_of_reach(client: httpx.AsyncClient, path: str) -> None:
    # httpx would take the dots out of the path.
    response = await client.get(httpx.URL("http://server").copy_with(raw_path=path.encode()))
    assert response.status_code == 404
    assert response.json()["error"]["code"] == 404


async def test_post_to_the_page_is_a_question(client: httpx.AsyncClient) -> None:
    assert isinstance((await client.post("/", json={"inputs": "1"})).json(), list)
    assert (await client.get("/")).text.startswith("<!doctype html>")
    head = await client.head("/")
    assert head.headers["content-type"].startswith("text/html")
    refused = await client.delete("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")


def test_only_files_of_known_types_are_served(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "notes.md").write_text("notes")
    (tmp_path / ".main.js.swp").write_text("editor")
    files = load(tmp_path)
    assert list(files) == ["page.html"]
    assert serve(files, "page.html").headers["etag"] == etag(b"page") != etag(b"other")
    with pytest.raises(RequestError):
        serve(files, "notes.md")


def test_the_page_names_all_scripts_so_that_they_load_at_once() -> None:
    page = (FOLDER / "index.html").read_text()
    named = re.findall(r'(?:href|src)="playground/([\w.]+)"', page)
    assert sorted(named) == sorted(set(NAMES) - {"index.html"})


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_files_that_are_there_and_make_no_markup(name: str) -> None:
    script = (FOLDER / name).read_text()
    for found in _IMPORT.findall(script):
        assert found.removeprefix("./") in SCRIPTS
    assert len(_IMPORT.findall(script)) == len(re.findall(r"^import [{\"*]", script, re.MULTILINE))
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert forbidden not in script


@pytest.mark.parametrize("name", NAMES)
def test_files_name_no_address(name: str) -> None:
    text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in text
    assert "https://" not in text
    assert len(text.splitlines()) <= 400
