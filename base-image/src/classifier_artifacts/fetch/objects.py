"""Objects of an S3-compatible store, with the credentials of the environment (AWS_*, AWS_ENDPOINT_URL).

obstore rather than fsspec: it streams (fsspec's own layer over it takes a whole object into memory), and it needs no
botocore, which is 90 MB.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch.base import Fetched, Progress, first_line, safe_name, written
from classifier_artifacts.fetch.guard import check_endpoint

if TYPE_CHECKING:
    from obstore import ObjectMeta

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "tokenizer*")
"""What a model folder is read from; other formats of the same weights would only cost time."""
PICKLED_FILES = ("pytorch_model*.bin",)
RETRIES = 6
"""How often a request that failed is sent again, with growing pauses."""
_BLOCK = 8 << 20
_MAX_FILES = 1000
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def open_bucket(bucket: str) -> S3Store:
    """The bucket, with the environment's credentials, or without any where there are none: public data needs none.

    The credentials that a machine of a cloud has are never asked for: they are not the user's.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"retry_config": {"max_retries": RETRIES}}
    if endpoint:
        check_endpoint(endpoint, "AWS_ENDPOINT_URL")
        # Who names an endpoint without TLS means it.
        options |= {"endpoint": endpoint, "client_options": {"allow_http": endpoint.startswith("http://")}}
    if not any(os.environ.get(name) for name in _CREDENTIALS):
        options["skip_signature"] = True
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return S3Store(bucket, region=region, **options)


def fetch_object(uri: str, what: str, folder: Path, progress: Progress | None) -> Fetched:
    """One object.

    Raises:
        UserError: there is none, or it may not be read.
        TransientError: the store cannot be reached.
    """
    bucket, key = _split(uri, what)
    name = safe_name(key, what, uri)
    with _errors(uri, what):
        store = open_bucket(bucket)
        meta = obstore.head(store, key)
        target = folder / _tagged(meta) / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            _download(store, [(meta, target)], progress)
    return Fetched(uri, (target,), _version([meta]))


def fetch_folder(uri: str, what: str, folder: Path, progress: Progress | None, *, pickled: bool = False) -> Fetched:
    """The files of a model under a prefix. `pickled` takes pickled weights where there are no others.

    Raises:
        UserError: there are none, or they may not be read.
        TransientError: the store cannot be reached.
    """
    bucket, prefix = _split(uri, what)
    with _errors(uri, what):
        store = open_bucket(bucket)
        patterns = (*MODEL_FILES, *PICKLED_FILES) if pickled else MODEL_FILES
        found = []
        for batch in obstore.list(store, prefix):
            found += [meta for meta in batch if _is_model_file(meta["path"], prefix, patterns)]
            if len(found) > _MAX_FILES:
                raise UserError(f"{what}: '{uri}' holds more than {_MAX_FILES} files: name the folder of one model.")
        if not found:
            raise UserError(f"{what}: '{uri}' holds no file of a model (config.json, *.safetensors): check the prefix.")
        if any(meta["path"].endswith(".safetensors") for meta in found):
            found = [meta for meta in found if _is_model_file(meta["path"], prefix, MODEL_FILES)]
        found.sort(key=lambda meta: meta["path"])
        version = _version(found)
        target = folder / version.partition(":")[2][:16]
        if not target.is_dir():
            with written(target) as temporary:
                pairs = [(meta, temporary / _inside(meta["path"], prefix)) for meta in found]
                for _, path in pairs:
                    path.parent.mkdir(parents=True, exist_ok=True)
                _download(store, pairs, progress)
    return Fetched(uri, (target,), version)


def _split(uri: str, what: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    key = key.strip("/")
    if not bucket or not key or ".." in PurePosixPath(key).parts:
        raise UserError(f"{what}: '{uri}' does not name an object: write s3://bucket/key.")
    return bucket, key


def _is_model_file(path: str, prefix: str, patterns: Sequence[str]) -> bool:
    inside = _inside(path, prefix)
    if ".." in PurePosixPath(inside).parts or any(part.startswith(".") for part in PurePosixPath(inside).parts):
        return False
    return any(fnmatch.fnmatch(PurePosixPath(inside).name, pattern) for pattern in patterns)


def _inside(path: str, prefix: str) -> str:
    return path[len(prefix) :].lstrip("/")


def _download(store: S3Store, pairs: Sequence[tuple[ObjectMeta, Path]], progress: Progress | None) -> None:
    total, done = sum(meta["size"] for meta, _ in pairs), 0
    for meta, target in pairs:
        with written(target) as temporary, temporary.open("wb") as stream:
            for block in obstore.get(store, meta["path"]).stream(min_chunk_size=_BLOCK):
                stream.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)


def _tagged(meta: ObjectMeta) -> str:
    return hashlib.sha256(_tag(meta).encode()).hexdigest()[:16]


def _tag(meta: ObjectMeta) -> str:
    return str(meta["e_tag"] or f"{meta['size']}-{meta['last_modified']}").strip('"')


def _version(found: Sequence[ObjectMeta]) -> str:
    if len(found) == 1:
        return f"etag:{_tag(found[0])}"
    digest = hashlib.sha256()
    for meta in found:
        digest.update(f"{meta['path']}\0{_tag(meta)}\n".encode())
    return f"etags-sha256:{digest.hexdigest()}"


@contextmanager
def _errors(uri: str, what: str) -> Iterator[None]:
    secret = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"  # noqa: S105  # their names, not they
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{what}: '{uri}' does not exist: check the bucket and the key.") from None
    except (PermissionDeniedError, UnauthenticatedError, PermissionError):
        given = any(os.environ.get(name) for name in _CREDENTIALS)
        hint = f"check {secret} in its Secret, and what they may read" if given else f"give a Secret with {secret}"
        raise UserError(f"{what}: '{uri}' may not be read: {hint}.") from None
    except ValueError as error:
        raise UserError(f"{what}: '{uri}' cannot be read: {first_line(error)}.") from None
    except (BaseError, OSError) as error:
        text = " ".join(str(error).split())
        if "NoSuchBucket" in text:
            raise UserError(f"{what}: '{uri}' does not exist: there is no such bucket.") from None
        raise TransientError(f"{what}: '{uri}' could not be downloaded: {text[:300]}") from error
