from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier_artifacts.classifier_json import Task, read_classifier_json
from classifier_server.app import build_app
from classifier_server.keys import Keys
from classifier_server.playground.about import About, read_test
from support.sample_run import sample_run


async def fetch(service: Any, keys: Keys | None = None, **headers: str) -> httpx.Response:
    app = build_app(service.state, service.metrics, keys)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        return await client.get("/model-card.json", headers=headers)


@pytest.mark.parametrize("task", ["Binary", "Multiclass", "Multilabel"])
async def test_card_of_a_foreign_model_has_what_is_known(make_service: Any, task: Task) -> None:
    response = await fetch(make_service(task))
    assert response.headers["cache-control"] == "no-store"
    expected = {
        "name": "r8",
        "checkpoint": "epoch-3",
        "uri": "pvc://out/model",
        "task": task,
        "labels": ["cat"] if task == "Binary" else ["a", "b", "c"],
        "thresholds": {"Binary": {"cat": 0.4}, "Multilabel": {"a": 0.4}, "Multiclass": {}}[task],
        "maxLength": 8,
    }
    assert response.json() == expected | ({"absent": "not cat"} if task == "Binary" else {})


async def test_card_of_a_checkpoint_has_its_test(make_service: Any, tmp_path: Path) -> None:
    checkpoint = sample_run(tmp_path, rows=60, steps=9) / "checkpoints" / "epoch-3"
    service = make_service()
    service.state.classifier.about = About("2 CPUs", "float32", read_classifier_json(checkpoint), read_test(checkpoint))
    card = (await fetch(service)).json()
    assert (card["device"], card["precision"], card["calibrated"]) == ("2 CPUs", "float32", True)
    assert card["baseModel"] == {"uri": "hf://org/tiny", "revision": "0123abc"}
    assert card["test"]["accuracy"] == json.loads((checkpoint / "test" / "metrics.json").read_text())["accuracy"]


async def test_there_is_no_card_before_there_is_a_model(make_service: Any) -> None:
    response = await fetch(make_service(loaded=False))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_files_are_open_and_the_card_is_not(make_service: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    service, keys = make_service(), Keys(str(tmp_path))
    assert (await fetch(service, keys)).status_code == 401
    assert (await fetch(service, keys, **{"x-api-key": "secret"})).status_code == 200
    app = build_app(service.state, service.metrics, keys)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        for path in ("/", "/playground/main.js", "/playground/style.css", "/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/playground/nothing.js")).status_code == 404


async def test_looking_at_the_page_is_no_activity(client: httpx.AsyncClient, make_service: Any) -> None:
    service = make_service()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as other:
        for path in ("/", "/playground/main.js", "/model-card.json", "/ready"):
            assert (await other.get(path)).status_code == 200
    assert service.state.stats()["secondsSinceLastCompletion"] is None
    assert service.state.stats()["inFlight"] == 0
