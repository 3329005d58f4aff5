"""The template in the tokenizer: the same ids from every loader, and a suffix that no truncation cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from classifier_trainer.model.template import (
    PROMPT,
    UnsupportedTokenizerError,
    added_tokens,
    save_tokenizer,
    set_limits,
    with_template,
)
from support.tiny_models import tiny_tokenizer

TEXT = "the team won the match"
LONG = " ".join(["the team won the match"] * 30)


def ids(tokenizer: PreTrainedTokenizerBase, text: str, **options: Any) -> list[int]:
    found = tokenizer(text, **options)["input_ids"]
    assert isinstance(found, list)
    return found


def plain(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return ids(tokenizer, text, add_special_tokens=False)


def processor(kind: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    made = {
        "none": processors.Sequence([]),
        "byte level": processors.ByteLevel(trim_offsets=False),
        "begin": processors.TemplateProcessing(single="[CLS] $A", pair="[CLS] $A $B:1", special_tokens=[("[CLS]", 1)]),
        "sequence": processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="[CLS] $A", pair="[CLS] $A $B:1", special_tokens=[("[CLS]", 1)]),
            ]
        ),
        "bert": processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
        "roberta": processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1)),
    }
    tokenizer.backend_tokenizer.post_processor = made[kind]
    return tokenizer


FRAMES = {
    "none": ([], []),
    "byte level": ([], []),
    "begin": ([1], []),
    "sequence": ([1], []),
    "bert": ([1], [2]),
    "roberta": ([1], [2]),
}


@pytest.mark.parametrize("kind", list(FRAMES))
def test_ids_after_saving(tmp_path: Path, kind: str) -> None:
    base = processor(kind, tiny_tokenizer())
    base.pad_token = "[PAD]"
    prefix, suffix = plain(base, "News: "), plain(base, "\nIn one word:")
    first, last = FRAMES[kind]
    made = with_template(base, "News: {prompt}\nIn one word:")
    save_tokenizer(made, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (made, loaded):
        assert ids(tokenizer, TEXT) == first + prefix + plain(base, TEXT) + suffix + last
        short = ids(tokenizer, LONG, truncation=True, max_length=30)
        room = 30 - len(first + prefix + suffix + last)
        assert short == first + prefix + plain(base, LONG)[:room] + suffix + last
        batch = tokenizer([TEXT, LONG], truncation=True, max_length=30, padding=True)["input_ids"]
        assert batch[0][-1] == 3
        assert batch[1] == short
        assert added_tokens(tokenizer) == 30 - room
    # The tokenizer that was given is left as it was, and pairs stay as they were.
    assert ids(base, TEXT) == first + plain(base, TEXT) + last
    assert made(TEXT, TEXT)["input_ids"] == base(TEXT, TEXT)["input_ids"]


def test_empty_text_is_the_template_alone() -> None:
    made = with_template(tiny_tokenizer(), "{prompt} =>")
    assert ids(made, "") == plain(made, " =>")


def test_no_template_changes_nothing() -> None:
    base = tiny_tokenizer()
    assert ids(with_template(base, PROMPT), TEXT) == ids(base, TEXT)


@pytest.mark.parametrize("kind", list(FRAMES))
def test_template_of_an_earlier_run_is_replaced(tmp_path: Path, kind: str) -> None:
    base = processor(kind, tiny_tokenizer())
    save_tokenizer(with_template(base, "News: {prompt}\nTopic:"), tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for template in ("{prompt} =>", PROMPT):
        again = with_template(loaded, template)
        assert ids(again, TEXT) == ids(with_template(base, template), TEXT)
        assert ids(loaded, TEXT) != ids(again, TEXT)


@pytest.mark.parametrize("side", ["Right", "Left"])
@pytest.mark.parametrize("kind", ["byte level", "bert"])
def test_limits_are_saved(tmp_path: Path, kind: str, side: Any) -> None:
    """Every loader cuts a text to the length and from the side that it was trained with, and never the template."""
    base = processor(kind, tiny_tokenizer())
    made = with_template(base, "{prompt} =>")
    set_limits(made, 20, side)
    save_tokenizer(made, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.model_max_length, loaded.truncation_side) == (20, side.lower())
    first, last = FRAMES[kind]
    suffix, text = plain(base, " =>"), plain(base, LONG)
    room = 20 - len(first + suffix + last)
    kept = text[:room] if side == "Right" else text[-room:]
    assert ids(loaded, LONG, truncation=True) == first + kept + suffix + last
    assert ids(loaded, TEXT, truncation=True) == first + plain(base, TEXT) + suffix + last


def test_class_that_builds_its_own_processor(tmp_path: Path) -> None:
    """Some classes drop a post-processor when they load; the folder then names the generic class."""
    from transformers import GPT2Tokenizer

    build: Any = GPT2Tokenizer
    source = tiny_tokenizer()
    source.save_pretrained(tmp_path / "source")
    made = build(tokenizer_object=source.backend_tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    chosen = with_template(made, "{prompt}\nTopic:")
    save_tokenizer(chosen, tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert ids(loaded, TEXT) == ids(chosen, TEXT)
    assert ids(loaded, TEXT)[-2:] == plain(made, "\nTopic:")[-2:]


def test_tokenizer_that_never_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_tokenizer()
    made = with_template(base, "{prompt} =>")
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda _folder: base)
    with pytest.raises(UnsupportedTokenizerError, match="does not read back"):
        save_tokenizer(made, tmp_path)


def test_tokenizer_that_forgets_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_template(tiny_tokenizer(), "{prompt} =>")
    set_limits(made, 20, "Left")
    other = with_template(tiny_tokenizer(), "{prompt} =>")
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda _folder: other)
    with pytest.raises(UnsupportedTokenizerError, match="does not read back"):
        save_tokenizer(made, tmp_path)


def test_slow_tokenizer_is_refused() -> None:
    base = tiny_tokenizer()
    base._tokenizer = None
    with pytest.raises(UnsupportedTokenizerError, match="not a fast tokenizer"):
        with_template(base, "{prompt} =>")
