"""A run's output in S3, against a real server: no rename there, so what is whole is said by one file, written last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from classifier_trainer.errors import TransientError, UserError
from classifier_trainer.output.lock import FILE_NAME, OutputLock
from classifier_trainer.output.object_store import ObjectStore
from classifier_trainer.output.place import open_store
from classifier_trainer.output.run_json import Record, clear, finished_run, new_run, read_run, unfinished_run
from support.s3_server import S3Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running(tmp_path_factory.mktemp("s3")) as found:
        found.bucket("models")
        yield found


@pytest.fixture
def uri(server: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An output of the test's own, with the keys in the environment."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://models/runs/{request.node.name}"


@pytest.fixture
def store(uri: str) -> Iterator[ObjectStore]:
    yield from opened(uri)


@pytest.fixture
def other(uri: str) -> Iterator[ObjectStore]:
    """The same output on another machine."""
    yield from opened(uri)


def opened(uri: str) -> Iterator[ObjectStore]:
    found = open_store(uri, {})
    assert isinstance(found, ObjectStore)
    yield found
    found.close()
    assert not found.folder.exists()


def fill(store: ObjectStore, name: str, **files: str) -> Path:
    folder = store.folder / name
    for path, text in files.items():
        place = folder / path.replace("__", "/").replace("_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def checkpoint(store: ObjectStore, name: str = "checkpoints/epoch-1") -> None:
    fill(store, name, classifier_json="{}", model_safetensors="weights", test__metrics_json="{}")
    store.publish(name)


def test_checkpoint_is_seen_whole(store: ObjectStore, other: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    put = obstore.put

    def watched(objects: Any, path: str, content: Any) -> Any:
        assert other.names("checkpoints") == []
        order.append(path.rpartition("epoch-1/")[2])
        return put(objects, path, content)

    monkeypatch.setattr(obstore, "put", watched)
    checkpoint(store)
    assert order == ["model.safetensors", "test/metrics.json", "classifier.json"]
    assert other.names("checkpoints") == ["epoch-1"]
    assert other.names() == ["checkpoints"]
    assert other.bring("checkpoints/epoch-1", weights=False)
    found = other.folder / "checkpoints" / "epoch-1"
    assert sorted(path.name for path in found.iterdir()) == ["classifier.json", "test"]
    assert other.bring("checkpoints/epoch-1")
    assert (found / "model.safetensors").read_text() == "weights"
    other.free("checkpoints/epoch-1")
    assert sorted(path.name for path in found.iterdir()) == ["classifier.json", "test"]
    assert not other.bring("checkpoints/epoch-2")


class CutError(Exception):
    """The process is killed here."""


def test_upload_that_is_cut_off_is_no_checkpoint(
    store: ObjectStore, other: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = obstore.put
    checkpoint(store)
    fill(store, "checkpoints/epoch-1", classifier_json="{new}", model_safetensors="new")

    def cut(objects: Any, path: str, content: Any) -> Any:
        if path.endswith("metrics.json"):
            raise CutError
        return put(objects, path, content)

    monkeypatch.setattr(obstore, "put", cut)
    # One that was whole before is not seen half old and half new either.
    with pytest.raises(CutError):
        store.publish("checkpoints/epoch-1")
    assert other.names("checkpoints") == []
    monkeypatch.undo()
    other.remove_unfinished()
    assert other.names() == []


def test_deleted_from_the_end_that_readers_look_at(
    store: ObjectStore, other: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(store)
    delete = obstore.delete

    def cut(objects: Any, path: str) -> None:
        delete(objects, path)
        raise CutError

    monkeypatch.setattr(obstore, "delete", cut)
    with pytest.raises(CutError):
        store.delete("checkpoints/epoch-1")
    assert other.names("checkpoints") == []
    monkeypatch.undo()
    store.delete("checkpoints/epoch-1")
    assert store.names() == []
    assert not (store.folder / "checkpoints" / "epoch-1").exists()


def test_published_folder_loses_what_it_does_not_have_any_more(store: ObjectStore, other: ObjectStore) -> None:
    checkpoint(store)
    (store.folder / "checkpoints" / "epoch-1" / "test" / "metrics.json").unlink()
    store.publish("checkpoints/epoch-1")
    assert other.bring("checkpoints/epoch-1")
    assert not (other.folder / "checkpoints" / "epoch-1" / "test").exists()


def test_states_are_mirrored(store: ObjectStore, other: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, "state/update-1", state_pt="large", record_json="1")
    fill(store, "state", token_json="7")
    store.mirror("state")
    assert other.names("state") == ["token.json", "update-1"]
    put, order = obstore.put, []

    def watched(objects: Any, path: str, content: Any) -> Any:
        order.append(path.rpartition("state/")[2])
        return put(objects, path, content)

    monkeypatch.setattr(obstore, "put", watched)
    # Whoever is killed while a new record is written still has a state to go on from.
    monkeypatch.setattr(obstore, "delete", lambda *_: pytest.fail("deleted"))
    fill(store, "state/update-1", record_json="2")
    store.mirror("state")
    assert order == ["token.json", "update-1/record.json"]  # the tensors are the same
    monkeypatch.undo()
    fill(store, "state/update-2", state_pt="large", record_json="3")
    for path in (store.folder / "state" / "update-1").iterdir():
        path.unlink()
    (store.folder / "state" / "update-1").rmdir()
    store.mirror("state")
    assert other.names("state") == ["token.json", "update-2"]
    assert other.bring("state")
    assert (other.folder / "state" / "update-2" / "state.pt").read_text() == "large"


def test_run_is_found_again_from_another_machine(store: ObjectStore, other: ObjectStore) -> None:
    assert finished_run(store, "v1:a", "Reuse") is None
    record = Record(store, new_run("v1:a", {}))
    record.update(host="pod-9")
    (store.folder / "metrics.jsonl").write_text('{"step": 1}\n')
    store.publish("metrics.jsonl")
    checkpoint(store)
    assert unfinished_run(other, "v1:a") is None  # no state yet
    fill(store, "state/update-1", state_pt="large", record_json="1")
    store.mirror("state")
    fill(store, "checkpoints/epoch-2", model_safetensors="half")
    obstore.put(store._objects, store._at("checkpoints/epoch-2/model.safetensors"), b"half")

    assert finished_run(other, "v1:a", "Reuse") is None
    with pytest.raises(UserError, match="with another configuration, not finished"):
        finished_run(other, "v1:b", "Reuse")
    found = unfinished_run(other, "v1:a")
    assert found is not None
    assert found["host"] == "pod-9"
    there = {str(path.relative_to(other.folder)) for path in other.folder.rglob("*") if path.is_file()}
    assert there == {
        "run.json",
        "metrics.jsonl",
        "state/update-1/state.pt",
        "state/update-1/record.json",
        "checkpoints/epoch-1/classifier.json",
        "checkpoints/epoch-1/test/metrics.json",
    }

    checkpoint(store, "model")
    record.update(outcome="Succeeded", completionTime="then")
    taken = finished_run(other, "v1:a", "Reuse")
    assert taken is not None
    assert taken["outcome"] == "Succeeded"
    clear(other)
    assert store.names() == []
    assert read_run(store) is None


def test_lock(store: ObjectStore, other: ObjectStore, uri: str) -> None:
    said: list[str] = []
    with OutputLock(store.lock_place, uri, said.append) as lock:
        lock.check()
        content = store.read(FILE_NAME)
        assert content is not None
        found = json.loads(content)
        assert found["beat"] >= 1
        assert store.names() == []

        def beat(_seconds: float) -> None:
            place = other.lock_place
            place.write({**(place.read() or {}), "beat": 99, "host": "pod-1"})

        # The same host and process: as another pod sees it.
        store.lock_place.write({**found, "host": "pod-1"})
        with pytest.raises(UserError, match="is being written by another run on pod-1"):
            OutputLock(other.lock_place, uri, said.append, sleep=beat).__enter__()
    assert store.read(FILE_NAME) is None


def test_lock_of_a_dead_writer_is_watched_and_taken_over(store: ObjectStore, uri: str) -> None:
    store.lock_place.write({"writer": "other", "beat": 1, "host": "pod-1", "pid": 1, "start": "1"})
    slept: list[float] = []
    said: list[str] = []
    with OutputLock(store.lock_place, uri, said.append, sleep=slept.append):
        assert sum(slept) == 60  # its clock is not ours, so how old it is says nothing
        content = store.read(FILE_NAME)
        assert content is not None
        assert json.loads(content)["writer"] != "other"
    assert "may still be in use by pod-1" in said[0]


@pytest.mark.parametrize(
    ("uri_", "environment", "words"),
    [
        ("s3://absent/x", {}, "there is no such bucket: make it, or name another"),
        ("s3:///x", {}, "names no bucket: write s3://bucket/prefix"),
        ("s3://models/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "may not be used with these credentials: give a Secret"),
        ("s3://models/x", {"AWS_ACCESS_KEY_ID": ""}, "may not be used with these credentials: give a Secret"),
    ],
)
def test_faults_of_the_user(
    uri: str, monkeypatch: pytest.MonkeyPatch, uri_: str, environment: dict[str, str], words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        open_store(uri_, {})


def test_store_that_does_not_answer(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifier_trainer.output.object_store import faults

    with pytest.raises(TransientError, match="could not be reached: connection reset"), faults("s3://models/x"):
        raise OSError("connection reset")
