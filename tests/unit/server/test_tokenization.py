from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from transformers import AutoTokenizer

from classifier_artifacts.errors import UserError
from classifier_server.tokenization import (
    LongText,
    NoRoomError,
    NoTokensError,
    Reading,
    TextEncoder,
    TextTooLongError,
    TooManyWindowsError,
)
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
    ours = TextEncoder(tokenizer.backend_tokenizer, LIMIT).encode(texts, Reading(side))
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
        encoder.encode(["oil", "oil " * 50], Reading("Error"))
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


def test_windows_hold_the_whole_text_and_overlap(bert: Any) -> None:
    encoder = TextEncoder(bert.backend_tokenizer, LIMIT)
    texts = ["oil", " ".join(random_texts(20)), "", " ".join(["crude"] * (LIMIT - 2))]
    tokenized = encoder.encode(texts, Reading(long_text=LongText("Max", 5)))
    assert tokenized.rows is not None
    assert tokenized.truncated == 0
    for row, text in enumerate(texts):
        windows = [ids for owner, ids in zip(tokenized.rows, tokenized.ids, strict=True) if owner == row]
        first, last = bert.cls_token_id, bert.sep_token_id
        assert all(ids[0] == first and ids[-1] == last and len(ids) <= LIMIT for ids in windows)
        assert all(len(ids) == LIMIT for ids in windows[:-1])
        whole = windows[0][1:-1]
        for ids in windows[1:]:
            assert ids[1:6] == whole[-5:]
            whole += ids[6:-1]
        assert whole == bert(text, add_special_tokens=False)["input_ids"]
    assert [tokenized.rows.count(row) for row in (0, 2, 3)] == [1, 1, 1]
    assert tokenized.rows == sorted(tokenized.rows)


def test_template_stands_around_every_window(llama: Any) -> None:
    suffix = llama("")["input_ids"]
    tokenized = TextEncoder(llama.backend_tokenizer, LIMIT).encode(["oil " * 200], Reading(long_text=LongText("Mean")))
    assert len(tokenized.ids) > 3
    assert all(ids[-len(suffix) :] == suffix for ids in tokenized.ids)


def test_stride_must_leave_something_new(bert: Any) -> None:
    encoder = TextEncoder(bert.backend_tokenizer, LIMIT)
    assert len(encoder.encode(["oil"], Reading(long_text=LongText("Max", LIMIT - 3))).ids) == 1
    with pytest.raises(NoRoomError) as refused:
        encoder.encode(["oil"], Reading(long_text=LongText("Max", LIMIT - 2)))
    assert (refused.value.what, refused.value.least, refused.value.most) == ("stride", 0, LIMIT - 3)


@pytest.mark.parametrize("tokens", [1, LIMIT - 2, LIMIT - 1, 3 * LIMIT, 1000])
@pytest.mark.parametrize("stride", [0, 1, 7, LIMIT - 3])
def test_windows_are_counted_before_they_are_made(bert: Any, tokens: int, stride: int) -> None:
    encoder, reading = TextEncoder(bert.backend_tokenizer, LIMIT), Reading(long_text=LongText("Max", stride))
    texts = ["oil", " ".join(["oil"] * tokens)]
    count = len(encoder.encode(texts, reading, max_windows=10_000).ids)
    assert len(encoder.encode(texts, reading, max_windows=count).ids) == count
    with pytest.raises(TooManyWindowsError):
        encoder.encode(texts, reading, max_windows=count - 1)


def test_fewer_tokens_than_the_model_takes(bert: Any) -> None:
    encoder = TextEncoder(bert.backend_tokenizer, LIMIT)
    text = "oil " * 50
    assert len(encoder.encode([text], Reading(max_tokens=5)).ids[0]) == 5
    assert len(encoder.encode([text], Reading(max_tokens=LIMIT + 1)).ids[0]) == LIMIT
    with pytest.raises(NoRoomError) as refused:
        encoder.encode([text], Reading(max_tokens=2))
    assert (refused.value.what, refused.value.least, refused.value.most) == ("max_tokens", 3, LIMIT)
