"""What a run tells: the document, the endpoint, the last word, the display."""

from __future__ import annotations

import io
import json
import os
import pty
import random
import select
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.progress import termination
from classifier_trainer.progress.display import BarDisplay, LogDisplay, display
from classifier_trainer.progress.endpoint import Endpoint
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.progress.work import Kind


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tracker_in_training() -> tuple[Tracker, Clock]:
    clock = Clock()
    tracker = Tracker(clock=clock)
    tracker.dataset("Multiclass", [f"l{index}" for index in range(150)], 90, 10, validation_rows=7)
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
    assert document["dataset"]["validationRows"] == 7
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


@dataclass(frozen=True)
class Shape:
    """A run that never was: how much of what it does, and how wrong the planning is about it."""

    units: dict[Kind, float]
    """By kind, as they turn out; `functions` and `writing` are the checkpoints."""
    cost: dict[Kind, float] = field(default_factory=dict)
    """Seconds a unit takes, 1e-4 unless told: a token at 10,000 a second."""
    checkpoints: int = 3
    planned: dict[Kind, float] = field(default_factory=dict)
    """What planning says where it is wrong."""
    pieces: int = 120
    noise: float = 0.2
    cold: float = 5.0
    """Seconds that the first piece of each kind takes longer."""

    def events(self, chance: random.Random) -> Iterator[tuple[Kind | None, float, float]]:
        """(kind, units, seconds) in the order of a run; None is time outside all kinds, as for loading."""
        yield None, 0, 8
        once: tuple[Kind, ...] = ("template", "features", "baseline_seconds", "head_seconds")
        for kind in once:
            yield from self._pieces(kind, self.units.get(kind, 0), chance)
        for _ in range(self.checkpoints):
            each: tuple[Kind, ...] = ("training", "writing", "validation", "test", "functions")
            for kind in each:
                yield None, 0, 0.5
                yield from self._pieces(kind, self.units.get(kind, 0) / self.checkpoints, chance)

    def _pieces(self, kind: Kind, units: float, chance: random.Random) -> Iterator[tuple[Kind, float, float]]:
        if not units:
            return
        whole = kind in ("functions", "writing", "baseline_seconds", "head_seconds")
        for piece in range(1 if whole else self.pieces):
            share = units if whole else units / self.pieces
            spread = chance.lognormvariate(0, 0.05 if whole else self.noise)
            seconds = share * self.cost.get(kind, 1.0 if whole else 1e-4) * spread
            yield kind, share, seconds + (self.cold if piece == 0 and not whole else 0)


SHAPES: dict[str, Shape] = {
    "LoRA": Shape({"template": 3e5, "features": 1e5, "training": 9e6, "validation": 3e5, "test": 9e5, "writing": 3}),
    "training slower than thought": Shape(
        {"template": 1e5, "features": 1e5, "training": 9e6, "test": 5e5}, {"training": 1.7e-4}
    ),
    "training faster than thought": Shape({"features": 2e5, "training": 2e7, "test": 5e5}, {"training": 0.6e-4}),
    "one epoch, a large test set": Shape({"training": 3e6, "validation": 1e6, "test": 6e6}, checkpoints=1),
    "thirty epochs": Shape(
        {"template": 1e5, "training": 2e7, "validation": 1e6, "writing": 30}, checkpoints=30, pieces=15
    ),
    "HeadOnly": Shape(
        {"features": 6e6, "head_seconds": 30, "validation": 6e5, "test": 1.2e6},
        checkpoints=1,
        planned={"head_seconds": 20},
    ),
    "user functions": Shape({"training": 9e6, "test": 5e5, "functions": 3}, {"functions": 25}),
    "a baseline thought too cheap": Shape(
        {"training": 9e6, "test": 5e5, "baseline_seconds": 60}, planned={"baseline_seconds": 20}
    ),
    "longer texts than planned": Shape({"training": 9e6, "test": 5e5}, planned={"training": 8.95e6}),
    "large pieces": Shape({"features": 2e5, "training": 9e6, "test": 5e5}, pieces=12, noise=0.1),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("seed", range(5))
def test_time_left_is_within_a_fifth_after_the_first_tenth(shape: Shape, seed: int) -> None:
    events = list(shape.events(random.Random(seed)))
    end = sum(seconds for _, _, seconds in events)
    clock = Clock()
    tracker = Tracker(clock=clock)
    tracker.plan({**shape.units, **shape.planned})
    seen: list[int] = []
    for kind, units, seconds in events:
        if kind in ("functions", "writing", "baseline_seconds", "head_seconds"):
            with tracker.timed(kind):
                clock.now += seconds
        else:
            clock.now += seconds
            if kind is None:
                tracker.phase("Testing", "elsewhere")
            else:
                tracker.advance(kind, units)
        progress = tracker.document()["progress"]
        seen.append(progress["percent"])
        left = end - clock.now
        if clock.now > 0.1 * end:
            # A hundredth of the run is forgiven, else the last seconds would have to be foretold to the second.
            assert abs(progress["secondsLeft"] - left) <= 0.2 * left + 0.01 * end + 1, f"{clock.now:.0f} of {end:.0f}"
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == 99


def test_percent_keeps_pace_with_the_work() -> None:
    """Every phase moves it: nothing stands still for long, and nothing jumps."""
    shape = SHAPES["LoRA"]
    tracker = Tracker(clock=Clock())
    tracker.plan(shape.units)
    total = sum(units for kind, units in shape.units.items() if kind != "writing")
    done = 0.0
    for kind, units, _ in shape.events(random.Random(1)):
        if kind is not None and kind != "writing":
            tracker.advance(kind, units)
            done += units
            assert abs(tracker.document()["progress"]["percent"] - 100 * done / total) <= 1.01


def test_a_resumed_run_goes_on_where_it_was() -> None:
    clock = Clock()
    first = Tracker(clock=clock)
    first.plan({"features": 100, "training": 900, "test": 100})
    pieces: tuple[tuple[Kind, int, int], ...] = (("features", 50, 2), ("training", 90, 4))
    for kind, units, count in pieces:
        for _ in range(count):
            clock.now += units
            first.advance(kind, units)
    first.checkpoint({"name": "epoch-1", "step": 4, "path": "checkpoints/epoch-1", "metrics": {}}, "epoch-1")
    first.trained("epoch 2 of 3", step=4)
    saved = json.loads(json.dumps(first.state()))

    second = Tracker(clock=clock)
    second.resume(saved)
    shown = second.document()
    assert shown["progress"]["percent"] == first.document()["progress"]["percent"] == 41
    assert shown["progress"]["step"] == 4
    assert shown["best"] == "epoch-1"
    assert "secondsLeft" not in shown["progress"]  # not known before the plan is
    second.plan({"features": 100, "training": 900, "test": 100})
    second.phase("Training", "epoch 2")
    assert second.document()["progress"]["secondsLeft"] == 640  # by the rates of the first process
    for _ in range(90):
        clock.now += 1.5  # a machine of twice the speed
        second.advance("training", 3)
    assert 185 <= second.document()["progress"]["secondsLeft"] <= 200
    assert second.document()["progress"]["percent"] == 66


def test_user_functions_are_timed_at_the_first_checkpoint() -> None:
    clock = Clock()
    tracker = Tracker(clock=clock)
    tracker.plan({"training": 300, "functions": 3})
    for _ in range(2):
        clock.now += 50
        tracker.advance("training", 50)
    assert tracker.document()["progress"]["secondsLeft"] == 200
    with tracker.timed("functions"):
        clock.now += 30
    assert tracker.document()["progress"]["secondsLeft"] == 200 + 2 * 30
    with tracker.timed("functions"):
        clock.now += 10
        assert tracker.document()["progress"]["secondsLeft"] == 200 + 2 * 30 - 10  # it is counted down meanwhile


def test_what_fails_is_not_counted_as_done() -> None:
    tracker = Tracker(clock=Clock())
    tracker.plan({"training": 1, "functions": 1})
    with pytest.raises(ValueError, match="x"), tracker.timed("functions"):
        raise ValueError("x")
    assert tracker.state()["work"]["done"] == {}


def test_work_that_was_less_than_planned_is_over_when_the_next_begins() -> None:
    clock = Clock()
    tracker = Tracker(clock=clock)
    tracker.plan({"template": 1000, "features": 100, "training": 100})
    clock.now = 10
    tracker.advancing("template")(10)  # the search ended early
    clock.now = 20
    tracker.advance("training", 10)
    assert tracker.document()["progress"]["secondsLeft"] == 90


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", ""


def test_endpoint() -> None:
    tracker, _ = tracker_in_training()
    tracker.checkpoint({"name": "epoch-1", "metrics": {"accuracy": "0.9000", "cost": "failed"}}, "epoch-1")
    with Endpoint(0, tracker.document, host="127.0.0.1") as endpoint:
        status, kind, body = get(endpoint.port, "/progress?x=1")
        assert (status, kind, json.loads(body)) == (200, "application/json", tracker.document())
        assert get(endpoint.port, "/health")[0] == 200
        assert get(endpoint.port, "/other")[0] == 404
        metrics = get(endpoint.port, "/metrics")[2]
        assert "classifier_training_progress_percent 25.0" in metrics
        assert 'classifier_training_phase{phase="Training"} 1.0' in metrics
        assert "classifier_training_loss 0.5" in metrics
        assert 'classifier_training_rows{split="validation"} 7.0' in metrics
        assert "classifier_training_checkpoints 1.0" in metrics
        assert 'classifier_training_best_score{metric="accuracy"} 0.9' in metrics
        assert 'metric="cost"' not in metrics
        assert "process_resident_memory_bytes" in metrics
        with pytest.raises(OSError, match="in use"):
            Endpoint(endpoint.port, tracker.document, host="127.0.0.1")


def test_endpoint_says_nothing_of_those_who_hang_up(capfd: pytest.CaptureFixture[str]) -> None:
    def slow() -> dict[str, Any]:
        hung_up.wait(10)
        return {"phase": "Training", "message": "x" * 10_000_000}

    hung_up = threading.Event()
    with Endpoint(0, slow, host="127.0.0.1") as endpoint:
        with socket.create_connection(("127.0.0.1", endpoint.port)) as caller:
            caller.sendall(b"GET /progress HTTP/1.0\r\n\r\n")
            # Closed with a reset, so that the answer meets a broken pipe.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hung_up.set()
        assert get(endpoint.port, "/health")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


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
        content = ""
        while "25%" not in content and select.select([main], [], [], 10)[0]:
            content += os.read(main, 65536).decode()
    os.close(main)
    assert "loading" in content
    assert "25%" in content
    assert "\r" in content
