"""A run's output in an object store: s3://bucket/prefix, with AWS_* from the environment."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from classifier_artifacts.fetch.objects import open_bucket
from classifier_trainer.errors import TransientError, UserError
from classifier_trainer.output.lock import FILE_NAME as LOCK
from classifier_trainer.output.lock import LockPlace
from classifier_trainer.output.store import WHOLE, Store, is_weights, uploaded_last

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Objects

_CHUNK = 8 << 20
_SECRET = "give a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that may read and write there"  # noqa: S105


class ObjectStore(Store):
    """Files are written into a scratch folder of this machine and uploaded from there."""

    def __init__(self, uri: str, objects: Objects, prefix: str = "") -> None:
        """The output `uri`: what lies under `prefix` in `objects`.

        Raises:
            UserError: no such bucket, or it may not be read.
            TransientError: the store does not answer.
        """
        self._objects = objects
        self._prefix = prefix.strip("/")
        with faults(uri):
            next(iter(obstore.list(objects, self._prefix or None, chunk_size=1)), None)
        super().__init__(uri, Path(tempfile.mkdtemp(prefix="classifier-output-")))

    @property
    def lock_place(self) -> LockPlace:
        return _ObjectLock(self)

    def publish(self, *names: str) -> None:
        with faults(self.uri):
            for name in names:
                local = self.folder / name
                if local.is_dir():
                    self._publish_folder(name, local)
                elif local.exists():
                    obstore.put(self._objects, self._at(name), local)

    def mirror(self, name: str) -> None:
        local = self.folder / name
        here = sorted(path.name for path in local.iterdir() if path.name[:1] != ".") if local.is_dir() else []
        with faults(self.uri):
            there = {part.partition("/")[0] for part in self._found(name)}
            for part in here:
                if (local / part).is_dir():
                    self._publish_folder(f"{name}/{part}", local / part, unchanged=is_weights)
                else:
                    obstore.put(self._objects, self._at(f"{name}/{part}"), local / part)
            for part in sorted(there - set(here)):
                self._delete(f"{name}/{part}", self._found(f"{name}/{part}"))

    def delete(self, *names: str) -> None:
        with faults(self.uri):
            for name in names:
                self._delete(name, self._found(name))
                local = self.folder / name
                shutil.rmtree(local) if local.is_dir() else local.unlink(missing_ok=True)

    def bring(self, name: str, *, weights: bool = True) -> bool:
        with faults(self.uri):
            found = self._found(name)
            for part in found:
                if weights or not is_weights(part):
                    self._download(f"{name}/{part}" if part else name)
            return bool(found)

    def free(self, name: str) -> None:
        for path in (self.folder / name).rglob("*"):
            if path.is_file() and is_weights(path.name):
                path.unlink()

    def names(self, name: str = "") -> list[str]:
        with faults(self.uri):
            found: dict[str, set[str]] = {}
            for part in self._found(name):
                first, _, rest = part.partition("/")
                found.setdefault(first, set()).add(rest)
        return sorted(first for first, rest in found.items() if first[:1] not in ("", ".") and _is_whole(name, rest))

    def remove_unfinished(self) -> None:
        with faults(self.uri):
            for parent in ("checkpoints", "state"):
                inside: dict[str, list[str]] = {}
                for part in self._found(parent):
                    first, _, rest = part.partition("/")
                    inside.setdefault(first, []).append(rest)
                for first, parts in inside.items():
                    if not _is_whole(parent, set(parts)):
                        self._delete(f"{parent}/{first}", parts)
            model = self._found("model")
            if not set(model) & set(WHOLE):
                self._delete("model", model)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        """The content of a small object; None if there is none."""
        with faults(self.uri):
            try:
                return bytes(obstore.get(self._objects, self._at(name)).bytes())
            except (NotFoundError, FileNotFoundError):
                return None

    def write(self, name: str, content: bytes) -> None:
        """Replaces a small object at once."""
        with faults(self.uri):
            obstore.put(self._objects, self._at(name), content)

    def _at(self, name: str) -> str:
        return "/".join(part for part in (self._prefix, name) if part)

    def _found(self, name: str) -> list[str]:
        """All objects under `name`, relative to it; the empty name stands for an object of that very name."""
        place = self._at(name)
        found = [str(item["path"]) for part in obstore.list(self._objects, place or None) for item in part]
        # A listing is of what lies under a name, which an object of that name does not.
        inside = [path.removeprefix(f"{place}/") for path in found if path != place]
        return inside if inside or not name else self._itself(name)

    def _itself(self, name: str) -> list[str]:
        try:
            obstore.head(self._objects, self._at(name))
        except (NotFoundError, FileNotFoundError):
            return []
        return [""]

    def _publish_folder(
        self, name: str, local: Path, *, unchanged: Callable[[str], bool] = lambda _name: False
    ) -> None:
        new = [str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()]
        old = self._found(name)
        changed = [part for part in new if part not in old or not unchanged(part)]
        gone = [part for part in old if part not in new]
        if gone or any(part not in WHOLE for part in changed):
            # What was whole must not look so while it is replaced; one file alone is replaced at once.
            self._delete(name, [part for part in old if part in WHOLE or part in gone])
        for part in uploaded_last(changed):
            obstore.put(self._objects, self._at(f"{name}/{part}"), local / part)

    def _delete(self, name: str, parts: Sequence[str]) -> None:
        # One after the other, for what says that the folder is whole must go first.
        for part in reversed(uploaded_last(parts)):
            try:
                obstore.delete(self._objects, self._at(f"{name}/{part}" if part else name))
            except (NotFoundError, FileNotFoundError):
                continue

    def _download(self, name: str) -> None:
        local = self.folder / name
        if local.exists() and is_weights(name):
            return  # it was written here
        local.parent.mkdir(parents=True, exist_ok=True)
        temporary = local.with_name(f".{local.name}.part")
        with temporary.open("wb") as stream:
            for chunk in obstore.get(self._objects, self._at(name)).stream(_CHUNK):
                stream.write(chunk)
        temporary.replace(local)


class _ObjectLock:
    """The lock as an object that is written anew with every heartbeat."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self) -> dict[str, Any] | None:
        content = self._store.read(LOCK)
        try:
            found = json.loads(content) if content else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def write(self, content: dict[str, Any]) -> None:
        self._store.write(LOCK, json.dumps(content).encode())

    def remove(self) -> None:
        self._store.delete(LOCK)

    def age(self) -> float:
        """Unknown: the store's clock is another than ours, so a lock is always watched for its whole time."""
        return 0.0


def open_s3(uri: str) -> ObjectStore:
    """The output `uri`, `s3://bucket` or `s3://bucket/prefix`; keys, region and endpoint are AWS_* of the environment.

    Raises:
        UserError: no bucket in the URI, no such bucket, or it may not be read.
        TransientError: the store does not answer.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise UserError(f"output.uri: '{uri}' names no bucket: write s3://bucket/prefix.")
    with faults(uri):
        return ObjectStore(uri, open_bucket(bucket), prefix)


def _is_whole(parent: str, inside: set[str]) -> bool:
    """Whether a checkpoint or state may be shown; everything else always."""
    return parent not in ("checkpoints", "state") or inside == {""} or bool(inside & set(WHOLE))


@contextmanager
def faults(uri: str) -> Iterator[None]:
    """Says what an error of the store means for its user."""
    refused = f"output.uri: '{uri}' may not be used with these credentials: {_SECRET}."
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise UserError(refused) from error
    except (BaseError, OSError) as error:
        text = " ".join(str(error).split())
        if "NoSuchBucket" in text:
            raise UserError(f"output.uri: '{uri}': there is no such bucket: make it, or name another.") from error
        if "403 Forbidden" in text:  # a signature that does not match comes as no error of its own
            raise UserError(refused) from error
        raise TransientError(f"output.uri: '{uri}' could not be reached: {text[:300]}") from error
