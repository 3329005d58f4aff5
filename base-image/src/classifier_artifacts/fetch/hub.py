"""Models of the hub, with its own client; where the hub is, HF_ENDPOINT says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch.base import Fetched, first_line
from classifier_artifacts.fetch.guard import check_endpoint

_URI = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?")
# What a model folder is read from; other formats of the same weights (ONNX, TensorFlow, GGUF) would only cost time.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "tokenizer*"]


def fetch_model(uri: str, what: str) -> Fetched:
    """The folder of a model in the hub's cache.

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
        path = Path(
            snapshot_download(
                match["repo"],
                revision=match["revision"],
                token=token(),
                endpoint=endpoint(),
                cache_dir=cache(),
                allow_patterns=_FILES,
            )
        )
    # The client keeps each commit in a folder of its name.
    return Fetched(uri, (path,), path.name)


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
