"""A hub on this machine: what its client asks for, answered from files in memory. Used by HF_ENDPOINT."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from support.https_server import Answer, serving

_API = re.compile(r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)(?P<rest>/.*)?")
_RESOLVE = re.compile(r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class Repository:
    """Files of each revision."""

    revisions: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Hub:
    """Repositories by `models/org/name` and `datasets/org/name`."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    failing: int | None = None
    """A status with which everything is answered."""

    def answer(self, path: str) -> Answer:
        """As the hub answers the GET or HEAD of a path."""
        if self.failing is not None:
            return Answer(status=self.failing)
        path = unquote(path.partition("?")[0])
        if match := _API.fullmatch(path):
            return self._api(match["kind"], match["repo"], match["rest"] or "")
        if match := _RESOLVE.fullmatch(path):
            kind = "datasets" if match["kind"] else "models"
            return self._file(f"{kind}/{match['repo']}", match["revision"], match["file"])
        return Answer(status=404)

    def _find(self, name: str, revision: str) -> tuple[str, Mapping[str, bytes]] | Answer:
        repository = self.repositories.get(name)
        if repository is None:
            return _refuse(404, "RepoNotFound")
        if repository.gated:
            return _refuse(403, "GatedRepo")
        for key, files in repository.revisions.items():
            if revision in (key, commit(key, files)):
                return commit(key, files), files
        return _refuse(404, "RevisionNotFound")

    def _api(self, kind: str, repo: str, rest: str) -> Answer:
        revision = rest.removeprefix("/revision/") if rest.startswith("/revision/") else "main"
        tree = re.fullmatch(r"/tree/(?P<revision>[^/]+)", rest)
        found = self._find(f"{kind}/{repo}", tree["revision"] if tree else revision)
        if isinstance(found, Answer):
            return found
        sha, files = found
        if tree:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                for name, content in files.items()
            ]
            return _json(entries)
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        return _json({"id": repo, "sha": sha, "siblings": siblings, "private": False, "tags": [], "downloads": 0})

    def _file(self, name: str, revision: str, file: str) -> Answer:
        found = self._find(name, revision)
        if isinstance(found, Answer):
            return found
        sha, files = found
        if file not in files:
            return _refuse(404, "EntryNotFound")
        etag = f'"{hashlib.sha256(files[file]).hexdigest()}"'
        return Answer(files[file], headers={"ETag": etag, "X-Repo-Commit": sha, "Accept-Ranges": "bytes"})


def commit(key: str, files: Mapping[str, bytes]) -> str:
    """The commit of a revision."""
    content = repr((key, sorted((name, hashlib.sha256(body).hexdigest()) for name, body in files.items())))
    return hashlib.sha1(content.encode()).hexdigest()  # noqa: S324


def _json(content: object) -> Answer:
    return Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json"})


def _refuse(status: int, code: str) -> Answer:
    return Answer(b"{}", status, {"X-Error-Code": code, "X-Error-Message": code})


@contextmanager
def running(hub: Hub) -> Iterator[tuple[str, list[str]]]:
    """The hub's address, and the requests so far."""
    with serving(hub.answer) as (address, seen):
        yield address, seen
