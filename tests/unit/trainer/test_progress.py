"""What a run tells: the document, the endpoint, the last word, the display."""

from __future__ import annotations

import io
import json
import os
import pty
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.progress import termination
from classifier_trainer.progress.display import BarDisplay, LogDisplay, display
from classifier_trainer.progress.endpoint import Endpoint
from classifier_trainer.progress.tracker import Tracker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tracker_in_training() -> tuple[Tracker, Clock]:
    clock = Clock()
    tracker = Tracker(clock=clock)
    tracker.dataset("Multiclass", [f"l{index}" for index in range(150)], 90, 10)
    tracker.plan(1000)
    tracker.phase("Training", "training")
    clock.now = 10
    tracker.advance(250)
    tracker.trained("epoch 1 of 2, loss 0.500", epoch=1, epochs=2, step=5, steps=20, loss=0.5)
    return tracker, clock


def test_document() -> None:
    tracker, _ = tracker_in_training()
    tracker.warn("few rows")
    tracker.checkpoint(
        {"name": "epoch-1", "step": 10, "path": "checkpoints/epoch-1", "metrics": {"accuracy": "0.9000"}}, "epoch-1"
    )
    document = tracker.document()
    assert document["progress"] == {
        "percent": 25,
        "epoch": 1,
        "epochs": 2,
        "step": 5,
        "steps": 20,
        "loss": 0.5,
        "secondsLeft": 30,
    }
    assert document["phase"] == "Training"
    assert document["message"] == "epoch 1 of 2, loss 0.500"
    assert document["dataset"]["labelCount"] == 150
    assert len(document["dataset"]["labels"]) == 100
    assert document["dataset"]["warnings"] == ["few rows"]
    assert document["best"] == "epoch-1"
    assert len(json.dumps(document)) < 65536


def test_nothing_is_said_that_is_not_known() -> None:
    assert Tracker().document() == {
        "version": "v1alpha1",
        "phase": "Preparing",
        "message": "starting",
        "progress": {"percent": 0},
        "checkpoints": [],
    }


def test_percent_only_rises_and_100_is_for_the_end() -> None:
    tracker, _ = tracker_in_training()
    tracker.plan(100_000)  # more work than was thought
    tracker.advance(10)
    assert tracker.document()["progress"]["percent"] == 25
    tracker.advance(1e9)
    assert tracker.document()["progress"]["percent"] == 99
    tracker.phase("Succeeded", "done")
    assert tracker.document()["progress"]["percent"] == 100
    assert tracker.document()["progress"]["secondsLeft"] == 0


def test_last_word_of_a_finished_run_is_taken_over() -> None:
    tracker, _ = tracker_in_training()
    tracker.warn("few rows")
    tracker.checkpoint({"name": "epoch-1", "step": 1, "path": "p", "metrics": {}}, "epoch-1")
    tracker.phase("Succeeded", "done")
    again = Tracker()
    again.restore(tracker.document())
    again.phase("Succeeded", "done")
    assert again.document() == tracker.document()


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", ""


def test_endpoint() -> None:
    tracker, _ = tracker_in_training()
    with Endpoint(0, tracker.document, host="127.0.0.1") as endpoint:
        status, kind, body = get(endpoint.port, "/progress?x=1")
        assert (status, kind, json.loads(body)) == (200, "application/json", tracker.document())
        assert get(endpoint.port, "/health")[0] == 200
        assert get(endpoint.port, "/other")[0] == 404
        metrics = get(endpoint.port, "/metrics")[2]
        assert "classifier_training_progress_percent 25.0" in metrics
        assert 'classifier_training_phase{phase="Training"} 1.0' in metrics
        assert "classifier_training_loss 0.5" in metrics
        with pytest.raises(OSError, match="in use"):
            Endpoint(endpoint.port, tracker.document, host="127.0.0.1")


def large(**changes: Any) -> dict[str, Any]:
    return {
        "version": "v1alpha1",
        "phase": "Succeeded",
        "message": "done",
        "progress": {"percent": 100},
        "dataset": {"taskType": "Multiclass", "labels": [], "labelCount": 1, "warnings": []},
        "checkpoints": [],
        "best": "epoch-2",
        **changes,
    }


def checkpoints(count: int) -> list[dict[str, Any]]:
    return [
        {"name": f"epoch-{n}", "step": n, "path": f"checkpoints/epoch-{n}", "metrics": {}} for n in range(1, count + 1)
    ]


def test_last_word_is_whole_where_it_fits() -> None:
    document = large(checkpoints=checkpoints(3))
    assert json.loads(termination.shrink(document)) == document


@pytest.mark.parametrize(
    ("document", "lost", "kept"),
    [
        (large(dataset={"labels": ["ä" * 50] * 100, "warnings": ["w"]}), {"labels"}, {"warnings"}),
        (large(dataset={"labels": ["l"], "warnings": ["w" * 300] * 20}), {"labels", "warnings"}, set()),
    ],
)
def test_last_word_loses_the_least_important_first(document: dict[str, Any], lost: set[str], kept: set[str]) -> None:
    content = termination.shrink(document)
    assert len(content) <= 4096
    found = json.loads(content)
    assert not lost & found["dataset"].keys()
    assert kept <= found["dataset"].keys()
    assert document["dataset"]["labels"]  # the document itself stays whole


def test_last_word_keeps_the_best_and_the_last_checkpoint() -> None:
    found = json.loads(termination.shrink(large(checkpoints=checkpoints(200))))
    assert [item["name"] for item in found["checkpoints"]] == ["epoch-2", "epoch-200"]


def test_last_word_cuts_the_message_last() -> None:
    content = termination.shrink(large(message="ü" * 9000))
    assert len(content) <= 4096
    assert len(content) > 3000
    assert json.loads(content)["message"].endswith("ü…")


def test_last_word_is_written_where_the_kubelet_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_TERMINATION_LOG", str(tmp_path / "log"))
    termination.write(large())
    assert json.loads((tmp_path / "log").read_text())["phase"] == "Succeeded"
    monkeypatch.setenv("CLASSIFIER_TERMINATION_LOG", str(tmp_path / "absent" / "log"))
    termination.write(large())  # said, and no reason to fail


def test_log_has_plain_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    shown = LogDisplay(stream, clock)
    tracker, _ = tracker_in_training()
    shown.said("loading")
    for second in range(40):
        clock.now = float(second)
        shown.moved(tracker.document())
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith(" loading")
    assert len(lines) == 4  # one every ten seconds
    assert lines[1].endswith("25% epoch 1 of 2, loss 0.500, 30s left")
    assert "\r" not in stream.getvalue()


def test_terminal_has_a_bar() -> None:
    main, child = pty.openpty()
    with os.fdopen(child, "w") as terminal:
        shown = display(terminal)
        assert isinstance(shown, BarDisplay)
        tracker, _ = tracker_in_training()
        shown.said("loading")
        shown.moved(tracker.document())
        shown.close()
        terminal.flush()
        content = os.read(main, 65536).decode()
    os.close(main)
    assert "loading" in content
    assert "25%" in content
    assert "\r" in content
