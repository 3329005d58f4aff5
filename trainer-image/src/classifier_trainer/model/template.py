"""The template lives in the tokenizer: a post-processor in tokenizer.json, which every loader applies.

Truncation counts what a post-processor adds, so a text that is too long loses its own end and never the suffix.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from classifier_trainer.errors import UserError

PROMPT = "{prompt}"
_SHORT, _LONG = "A short text.", "one two three four five six seven eight nine ten " * 40
_PROBE_LENGTH = 24
_PREFIX, _SUFFIX = "template-prefix", "template-suffix"


class UnsupportedTokenizerError(Exception):
    """The tokenizer has no place for a template, or loses it when it is loaded again."""


def with_template(tokenizer: PreTrainedTokenizerBase, template: str) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer that puts the template around every single text; pairs stay as they are.

    A template that an earlier run put there is replaced.

    Raises:
        UnsupportedTokenizerError: its post-processor is of a kind that cannot be extended.
    """
    result = copy.deepcopy(tokenizer)
    prefix, _, suffix = template.partition(PROMPT)
    backend = getattr(result, "backend_tokenizer", None)
    content = json.loads(backend.to_str()) if isinstance(backend, Tokenizer) else {}
    stripped = _without(content.get("post_processor"))
    if not prefix and not suffix and stripped == content.get("post_processor"):
        return result
    if not isinstance(backend, Tokenizer):
        raise UnsupportedTokenizerError("it is not a fast tokenizer")
    pieces = {name: _piece(backend, name, text) for name, text in ((_PREFIX, prefix), (_SUFFIX, suffix)) if text}
    content["post_processor"] = _extended(stripped, pieces) if pieces else stripped
    result._tokenizer = Tokenizer.from_str(json.dumps(content))
    return result


def set_limits(tokenizer: PreTrainedTokenizerBase, max_length: int, side: Literal["Right", "Left"]) -> None:
    """Makes the tokenizer cut texts to `max_length` tokens, from that side, wherever it is loaded; in place."""
    tokenizer.model_max_length = max_length
    tokenizer.truncation_side = side.lower()
    # Only what it was made with is saved.
    tokenizer.init_kwargs["truncation_side"] = side.lower()


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves the tokenizer and makes sure that it reads back as it is.

    Some classes build their post-processor anew when they are loaded and drop ours; then the folder names the generic
    class, which takes tokenizer.json as it stands.

    Raises:
        UnsupportedTokenizerError: it does not read back even so.
    """
    tokenizer.save_pretrained(folder)
    if _reads_back(tokenizer, folder):
        return
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if not _reads_back(tokenizer, folder):
        raise UnsupportedTokenizerError("it does not read back as it was saved")


def refuse(template: str, reason: UnsupportedTokenizerError) -> UserError:
    """The error for a template that the user asked for."""
    return UserError(
        f"hyperparameters.template: the base model's tokenizer cannot hold {template!r}, for {reason}: "
        "write template Auto."
    )


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the tokenizer puts around a single text, the template's among them."""
    return tokenizer.num_special_tokens_to_add(pair=False)


def _reads_back(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    loaded = AutoTokenizer.from_pretrained(folder)
    if loaded.model_max_length != tokenizer.model_max_length:
        return False
    for text in (_SHORT, _LONG, ""):
        length = max(_PROBE_LENGTH, added_tokens(tokenizer) + 2)
        wanted = tokenizer(text, truncation=True, max_length=length)["input_ids"]
        if loaded(text, truncation=True, max_length=length)["input_ids"] != wanted:
            return False
    return True


def _piece(backend: Tokenizer, name: str, text: str) -> dict[str, Any]:
    encoding = backend.encode(text, add_special_tokens=False)
    return {"id": name, "ids": encoding.ids, "tokens": encoding.tokens}


def _extended(processor: dict[str, Any] | None, pieces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The post-processor with the pieces around the first text."""
    kind = processor["type"] if processor else None
    if processor is None:
        return _around(_plain_template(), pieces)
    if kind == "TemplateProcessing":
        return _around(processor, pieces)
    if kind == "ByteLevel":
        return {"type": "Sequence", "processors": [processor, _around(_plain_template(), pieces)]}
    if kind in ("BertProcessing", "RobertaProcessing"):
        return _around(_bert_template(processor), pieces)
    if kind == "Sequence":
        parts = list(processor["processors"])
        for index, part in enumerate(parts):
            if part["type"] in ("TemplateProcessing", "BertProcessing", "RobertaProcessing"):
                parts[index] = _extended(part, pieces)
                return {**processor, "processors": parts}
        return {**processor, "processors": [*parts, _around(_plain_template(), pieces)]}
    raise UnsupportedTokenizerError(f"its post-processor {kind} is not known here")


def _without(processor: dict[str, Any] | None) -> dict[str, Any] | None:
    """The post-processor without a template of ours."""
    if processor is not None and processor["type"] == "Sequence":
        return {**processor, "processors": [_without(part) for part in processor["processors"]]}
    if processor is None or processor["type"] != "TemplateProcessing":
        return processor
    single = [part for part in processor["single"] if part.get("SpecialToken", {}).get("id") not in (_PREFIX, _SUFFIX)]
    tokens = {name: token for name, token in processor["special_tokens"].items() if name not in (_PREFIX, _SUFFIX)}
    return {**processor, "single": single, "special_tokens": tokens}


def _around(processor: dict[str, Any], pieces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    single: list[dict[str, Any]] = []
    for part in processor["single"]:
        type_id = next(iter(part.values()))["type_id"]
        entry = {name: {"SpecialToken": {"id": name, "type_id": type_id}} for name in pieces}
        is_text = "Sequence" in part
        if is_text and _PREFIX in entry:
            single.append(entry[_PREFIX])
        single.append(part)
        if is_text and _SUFFIX in entry:
            single.append(entry[_SUFFIX])
    return {**processor, "single": single, "special_tokens": {**processor["special_tokens"], **pieces}}


def _plain_template() -> dict[str, Any]:
    return {
        "type": "TemplateProcessing",
        "single": [_text("A", 0)],
        "pair": [_text("A", 0), _text("B", 1)],
        "special_tokens": {},
    }


def _bert_template(processor: dict[str, Any]) -> dict[str, Any]:
    """BertProcessing and RobertaProcessing as a template; Roberta has two separators in a pair and one type id."""
    (sep, sep_id), (cls, cls_id) = processor["sep"], processor["cls"]
    roberta = processor["type"] == "RobertaProcessing"
    second = 0 if roberta else 1
    single = [_special(cls, 0), _text("A", 0), _special(sep, 0)]
    middle = [_special(sep, 0)] if roberta else []
    tokens = {name: {"id": name, "ids": [index], "tokens": [name]} for name, index in ((sep, sep_id), (cls, cls_id))}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *middle, _text("B", second), _special(sep, second)],
        "special_tokens": tokens,
    }


def _text(name: str, type_id: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": type_id}}


def _special(name: str, type_id: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": type_id}}
