"""The server with a made-up model: its answers are those that the tests take for right ones, and its image is built
from the same content each time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from classifier_operator.api.deployment import DeploymentSpec
from localcluster.images.contexts import content_digest
from support import fast_server
from support.caller import Caller
from support.server_process import running
from support.traffic import Ask, Promise


async def test_its_answers_are_right_ones_and_no_others(tmp_path: Path) -> None:
    draw = random.Random(0)
    (tmp_path / "config.yaml").write_text(
        json.dumps({"version": "v1alpha1", "name": "fast", "model": {"uri": fast_server.MODEL}})
    )
    with running(["--config", str(tmp_path / "config.yaml")], python=("-m", "support.fake_server")) as server:
        server.wait_until_ready()
        async with Caller(pooled=True) as caller:
            for _ in range(20):
                assert (await caller.ask(server.api, fast_server.question(draw), Promise(seconds=30))).kept
            asked = fast_server.ask(7)
            mixed_up = Ask(asked.body, fast_server.ask(8).is_right)
            assert not (await caller.ask(server.api, mixed_up, Promise(seconds=30))).kept


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data": []}', b'{"data": [{"probs": null}]}', b"\xff"])
def test_what_is_no_answer_is_no_right_one(body: bytes) -> None:
    assert not fast_server.is_right(body, 1)


def test_its_build_has_all_that_it_needs_and_the_same_each_time(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        digests.add(content_digest(fast_server.context(folder), {}))
    assert len(digests) == 1
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "Dockerfile",
        "support/fake_server.py",
        "support/fake_backend.py",
    }
    lines = [line for path in folder.glob("support/*.py") for line in path.read_text().splitlines()]
    imported = {line.split()[1] for line in lines if line.startswith(("from support", "import support"))}
    assert imported == {"support.fake_backend"}, "the image lacks a module"


def test_a_deployment_of_it_is_a_valid_one() -> None:
    manifest = fast_server.deployment("fast", "image:1", load_seconds=2, inactivityTimeout="10s")
    spec = DeploymentSpec.from_json_object(manifest["spec"])
    assert spec.image == "image:1"
    assert spec.pod_template is not None
    assert spec.pod_template.to_json_object() == {"spec": {"env": [{"name": "FAKE_LOAD_SECONDS", "value": "2"}]}}
