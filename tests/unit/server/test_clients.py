"""The ecosystem's own clients against the real process, behind an API key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import tritonclient.http as triton
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.utils import InferenceServerException

from support.server_process import ServerProcess, running

KEY = "a key"
# The fake server's logits are 0 and the number of words by 100.
TEXT = "one two three"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests."""
    folder = tmp_path_factory.mktemp("server")
    keys, config = folder / "keys", folder / "config.json"
    keys.mkdir()
    (keys / "first").write_text(KEY + "\n")
    document = {
        "version": "v1alpha1",
        "name": "r8",
        "checkpoint": "epoch-3",
        "model": {"uri": "pvc://out/model"},
        "server": {"unflaggedLabels": ["a"]},
        "apiKeysDir": str(keys),
    }
    config.write_text(json.dumps(document))
    with running(["--config", str(config)], python=("-m", "support.fake_server")) as process:
        process.wait_until_ready()
        yield process


@pytest.mark.parametrize("path", ["/", "/hf", "/models/r8", "/hf/models/r8/epoch-3"])
def test_hugging_face(server: ServerProcess, path: str) -> None:
    client = InferenceClient(model=server.api + path, token=KEY)
    first, second = client.text_classification(TEXT)
    assert (first.label, second.label) == ("b", "a")
    assert first.score + second.score == pytest.approx(1, abs=1e-5)
    (only,) = client.text_classification(TEXT, top_k=1, function_to_apply="none")
    assert only.label == "b"
    assert only.score == pytest.approx(0.03)


def test_hugging_face_is_told_what_is_wrong(server: ServerProcess) -> None:
    with pytest.raises(HfHubHTTPError) as refused:
        InferenceClient(model=f"{server.api}/hf", token="another").text_classification(TEXT)
    assert refused.value.response.status_code == 401
    with pytest.raises(HfHubHTTPError) as refused:
        InferenceClient(model=f"{server.api}/models/r9", token=KEY).text_classification(TEXT)
    assert refused.value.response.status_code == 404


@pytest.fixture(scope="module")
def openai_client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    """OpenAI's, without its retries."""
    with openai.OpenAI(api_key=KEY, base_url=f"{server.api}/v1", max_retries=0) as client:
        yield client


def test_openai_moderations(openai_client: openai.OpenAI) -> None:
    for arguments in ({}, {"model": "omni-moderation-latest"}, {"model": "r8"}):
        answer = openai_client.moderations.create(input=[TEXT, "one"], **arguments)  # type: ignore[arg-type]  # any name
        assert answer.model == "r8"
        assert [result.flagged for result in answer.results] == [True, True]
        assert answer.results[0].categories.to_dict() == {"a": False, "b": True}
        scores: Any = answer.results[0].category_scores.to_dict()
        assert scores["b"] > scores["a"] > 0.4
    parts: Any = [{"type": "text", "text": TEXT}]
    assert len(openai_client.moderations.create(input=parts).results) == 1


def test_openai_models(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["r8"]
    assert openai_client.models.retrieve("r8").owned_by == "classifier-operator"


def test_openai_is_told_what_is_wrong(server: ServerProcess, openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.moderations.create(input=[])
    assert (refused.value.param, refused.value.type) == ("input", "invalid_request_error")
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.models.retrieve("gpt-4")
    assert missing.value.code == "model_not_found"
    with (
        openai.OpenAI(api_key="another", base_url=f"{server.api}/v1", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        stranger.moderations.create(input=TEXT)
    assert unknown.value.code == "invalid_api_key"


@pytest.fixture(scope="module")
def triton_client(server: ServerProcess) -> Iterator[Any]:
    """Triton's, which KServe's users have too."""
    with triton.InferenceServerClient(server.api.removeprefix("http://")) as client:
        yield client


def key() -> dict[str, str]:
    """Headers of its own for each request: the client adds to them."""
    return {"X-API-Key": KEY}


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
@pytest.mark.parametrize("version", ["", "1", "epoch-3"])
def test_triton(triton_client: Any, binary_input: bool, binary_output: bool, version: str) -> None:
    tensor = triton.InferInput("text", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([TEXT, "zwölf"], dtype=object), binary_data=binary_input)
    outputs = [triton.InferRequestedOutput(name, binary_output) for name in ("label", "probabilities", "labels")]
    answer = triton_client.infer("r8", [tensor], version, outputs, request_id="mine", headers=key())
    label, labels = ([_text(each) for each in answer.as_numpy(name)] for name in ("label", "labels"))
    assert (label, labels) == (["b", "b"], ["a", "b"])
    probabilities = answer.as_numpy("probabilities")
    assert (probabilities.shape, probabilities.dtype) == ((2, 2), np.float32)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert answer.get_response()["id"] == "mine"


def _text(element: Any) -> str:
    return element.decode() if isinstance(element, bytes) else str(element)


def test_triton_asks_for_everything_in_binary_by_itself(triton_client: Any) -> None:
    tensor = triton.InferInput("text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[TEXT]], dtype=object))
    answer = triton_client.infer("r8", [tensor], headers=key())
    assert all("data" not in output for output in answer.get_response()["outputs"])
    assert answer.as_numpy("label").tolist() == [b"b"]


def test_triton_health_and_metadata(triton_client: Any) -> None:
    # without a key
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("r8")
    assert triton_client.is_model_ready("r8", "epoch-3")
    assert not triton_client.is_model_ready("r9")
    with pytest.raises(InferenceServerException, match="An API key is needed"):
        triton_client.get_model_metadata("r8")
    assert triton_client.get_model_metadata("r8", headers=key())["outputs"][1]["shape"] == [-1, 2]
    assert "binary_tensor_data" in triton_client.get_server_metadata(headers=key())["extensions"]


def test_triton_is_told_what_is_wrong(triton_client: Any) -> None:
    tensor = triton.InferInput("text", [1], "FP32")
    tensor.set_data_from_numpy(np.array([1.0], dtype=np.float32))
    with pytest.raises(InferenceServerException, match=r"inputs\[0\]\.datatype must be BYTES"):
        triton_client.infer("r8", [tensor], headers=key())


def test_keys_are_not_logged(server: ServerProcess, tmp_path: Path) -> None:
    assert "API keys: 1" in server.output()
    for secret in (KEY, "another"):
        assert secret not in server.output()
