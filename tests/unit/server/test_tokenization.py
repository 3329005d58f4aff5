from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from transformers import AutoTokenizer

from classifier_artifacts.errors import UserError
from classifier_server.tokenization import NoTokensError, TextEncoder, TextTooLongError
from support.server_models import TEXTS, bert_folder, llama_folder

LIMIT = 24


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(bert_folder(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(llama_folder(tmp_path_factory.mktemp("llama")))


def random_texts(count: int) -> list[str]:
    generator = np.random.default_rng(5)
    words = [*" ".join(TEXTS).split(), "[SEP]", "<eos>", "\n", "0x1F", "ﬁ", "\u200b", "日本"]
    return [" ".join(generator.choice(words, generator.integers(0, 60))) for _ in range(count)]


@pytest.mark.parametrize("name", ["bert", "llama"])
@pytest.mark.parametrize("side", ["Right", "Left"])
def test_ids_are_those_of_transformers(
    name: str, side: Literal["Right", "Left"], request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(name)
    texts = [*TEXTS, *random_texts(300)]
    ours = TextEncoder(tokenizer.backend_tokenizer, LIMIT).encode(texts, side)
    tokenizer.truncation_side = side.lower()
    theirs = tokenizer(texts, truncation=True, max_length=LIMIT)["input_ids"]
    assert ours.ids == theirs
    cut = sum(len(ids) > LIMIT for ids in tokenizer(texts)["input_ids"])
    assert ours.truncated == cut > 50


def test_template_survives_truncation(llama: Any) -> None:
    suffix = llama("")["input_ids"]
    assert llama.decode(suffix) == "\nTopic:"
    (ids,) = TextEncoder(llama.backend_tokenizer, LIMIT).encode(["oil " * 100]).ids
    assert len(ids) == LIMIT
    assert ids[-len(suffix) :] == suffix


def test_many_threads_share_one_encoder(llama: Any) -> None:
    encoder = TextEncoder(llama.backend_tokenizer, LIMIT)
    texts = random_texts(400)
    alone = encoder.encode(texts).ids
    with ThreadPoolExecutor(8) as threads:
        assert [ids[0] for ids in threads.map(lambda text: encoder.encode([text]).ids, texts)] == alone


def test_error_names_the_text_and_its_length(bert: Any) -> None:
    encoder = TextEncoder(bert.backend_tokenizer, LIMIT)
    with pytest.raises(TextTooLongError) as refused:
        encoder.encode(["oil", "oil " * 50], "Error")
    assert (refused.value.row, refused.value.tokens, refused.value.limit) == (1, 52, LIMIT)


def test_text_without_tokens(tmp_path: Path, bert: Any) -> None:
    assert len(TextEncoder(bert.backend_tokenizer, LIMIT).encode([""]).ids[0]) == 2
    bare = AutoTokenizer.from_pretrained(llama_folder(tmp_path, suffix=None))
    with pytest.raises(NoTokensError) as refused:
        TextEncoder(bare.backend_tokenizer, LIMIT).encode(["oil", ""])
    assert refused.value.row == 1


def test_length_must_leave_room_for_a_text(bert: Any) -> None:
    with pytest.raises(UserError, match="write at least 3"):
        TextEncoder(bert.backend_tokenizer, 2)
