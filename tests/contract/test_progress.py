"""What the trainer says of itself is read by the operator, also where it is much."""

from __future__ import annotations

import httpx

from classifier_operator.pods.http import MAX_ANSWER_BYTES
from classifier_operator.wire.progress import PROGRESS_PATH, ProgressReport
from classifier_trainer.evaluate.scores import MAX_HEADLINE
from classifier_trainer.progress.endpoint import PROGRESS_BYTES, Endpoint
from classifier_trainer.progress.termination import LIMIT_BYTES, shrink
from classifier_trainer.progress.tracker import Tracker


def long_run(epochs: int) -> Tracker:
    """A tracker after many epochs of much data, each with as many metrics as there may be."""
    tracker = Tracker()
    tracker.dataset("Multiclass", [f"{'ä' * 200} {number}" for number in range(300)], 9000, 900, 1000)
    for number in range(40):
        tracker.warn(f"warning {number} {'x' * 500}")
    metrics = {f"metric{number}{'y' * 40}": "0.1234" for number in range(MAX_HEADLINE)}
    for epoch in range(1, epochs + 1):
        entry = {"name": f"epoch-{epoch}", "step": epoch, "path": f"checkpoints/epoch-{epoch}", "metrics": metrics}
        tracker.checkpoint(entry, best="epoch-1")
    return tracker


def said(tracker: Tracker) -> tuple[int, ProgressReport]:
    with Endpoint(0, tracker.document, host="127.0.0.1") as endpoint:
        answer = httpx.get(f"http://127.0.0.1:{endpoint.port}{PROGRESS_PATH}", timeout=10)
    return len(answer.content), ProgressReport.decode(answer.content)


def test_the_operator_reads_what_the_trainer_says() -> None:
    tracker = long_run(3)
    tracker.deleted("epoch-2")
    _, report = said(tracker)
    assert report.dataset is not None
    assert (report.dataset.train_rows, report.dataset.validation_rows, report.dataset.test_rows) == (9000, 1000, 900)
    assert [each.path for each in report.checkpoints] == ["checkpoints/epoch-1", None, "checkpoints/epoch-3"]
    assert (report.best, len(report.checkpoints[1].metrics)) == ("epoch-1", MAX_HEADLINE)


def test_a_long_run_fits_into_what_the_operator_reads() -> None:
    assert PROGRESS_BYTES == MAX_ANSWER_BYTES
    size, report = said(long_run(1000))
    assert size <= MAX_ANSWER_BYTES
    names = [each.name for each in report.checkpoints]
    assert (names[0], names[-1], report.best) == ("epoch-1", "epoch-1000", "epoch-1")


def test_the_last_word_fits_into_what_the_kubelet_keeps() -> None:
    content = shrink(long_run(1000).document())
    assert len(content) <= LIMIT_BYTES
    assert ProgressReport.decode(content).best == "epoch-1"
