"""Models of the hub, with its own client; where the hub is, HF_ENDPOINT says."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from tqdm import tqdm

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch.base import Fetched, Progress, first_line
from classifier_artifacts.fetch.guard import check_endpoint

_URI = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?")
# What a model folder is read from; other formats of the same weights (ONNX, TensorFlow, GGUF) would only cost time.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "tokenizer*"]
_PICKLED = ["pytorch_model*.bin"]


def fetch_model(uri: str, what: str, progress: Progress | None = None, *, pickled: bool = False) -> Fetched:
    """The folder of a model in the hub's cache. `pickled` takes pickled weights where there are no others.

    Raises:
        UserError: there is no such repository or revision, or it may not be read.
        TransientError: the hub cannot be reached.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise UserError(
            f"{what}: '{uri}' does not name a repository of the hub: write hf://org/name or hf://org/name@revision."
        )
    with errors(uri, what, match["revision"]):
        path = _snapshot(match["repo"], match["revision"], _FILES, progress)
        # The client keeps each commit in a folder of its name.
        if pickled and not any(path.glob("*.safetensors")):
            path = _snapshot(match["repo"], path.name, [*_FILES, *_PICKLED], progress)
    return Fetched(uri, (path,), path.name)


def _snapshot(repo: str, revision: str | None, patterns: Sequence[str], progress: Progress | None) -> Path:
    return Path(
        snapshot_download(
            repo,
            revision=revision,
            token=token(),
            endpoint=endpoint(),
            cache_dir=cache(),
            allow_patterns=list(patterns),
            tqdm_class=None if progress is None else _told(progress),
        )
    )


def _told(progress: Progress) -> Any:
    """The client's progress bar, passed on instead of shown.

    It makes several: of files, of bytes received and of bytes written, which are the same bytes.
    """
    counted: dict[int, tuple[int, int]] = {}

    class Bar(tqdm):  # type: ignore[type-arg]  # at run time it takes none
        monitor_interval = 0  # no thread that redraws it

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO(), "leave": False})

        def update(self, n: float | None = 1) -> bool | None:
            drawn = super().update(n)
            if self.unit == "B":
                counted[id(self)] = (int(self.n), int(self.total or 0))
                progress(max(done for done, _ in counted.values()), max(total for _, total in counted.values()) or None)
            return drawn

    return Bar


def endpoint() -> str | None:
    """Where the hub is; None is the usual one."""
    found = os.environ.get("HF_ENDPOINT") or None
    if found is not None:
        check_endpoint(found, "HF_ENDPOINT")
    return found


def token() -> str | None:
    """The user's token."""
    return os.environ.get("HF_TOKEN") or None


def cache() -> str | None:
    """Where downloads are kept; None is the client's own choice."""
    return os.environ.get("HF_HUB_CACHE") or None


@contextmanager
def errors(uri: str, what: str, revision: str | None) -> Iterator[None]:
    """Says in a sentence what the client's errors mean."""
    try:
        yield
    except (GatedRepoError, DisabledRepoError) as error:
        raise UserError(
            f"{what}: '{uri}' is gated: accept its terms on the hub and give a token in a Secret with HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{what}: '{uri}' has no revision '{revision}': check the name after the '@'.") from error
    except RepositoryNotFoundError as error:
        hint = (
            "check the name and the token" if token() else "check the name, or give a token in a Secret with HF_TOKEN"
        )
        raise UserError(f"{what}: '{uri}' does not exist on the hub, or is private: {hint}.") from error
    except HFValidationError as error:
        raise UserError(f"{what}: '{uri}' does not name a repository of the hub: {first_line(error)}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, RevisionResolutionError, httpx2.HTTPError, OSError) as error:
        raise TransientError(f"{what}: '{uri}' could not be downloaded from the hub: {first_line(error)}") from error
