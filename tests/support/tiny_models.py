"""Tiny models with random weights and a real byte-level tokenizer, built in a second, for tests without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaModel,
)

Kind = Literal["qwen3", "llama", "smollm2", "mistral", "gemma", "gemma3", "bert", "minilm", "modernbert", "roberta"]
ENCODERS = ("bert", "minilm", "modernbert", "roberta")

WIDTH = 32
# The features of random weights differ so little that dropout would drown them.
_NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
POSITIONS = 128
TOPICS = {
    "sport": "the team won the match and the players scored a goal in the final game",
    "food": "cook the soup with salt and pepper then bake the bread in the oven",
    "money": "the bank raised the interest rate and shares fell on the stock market",
}
"""Words of each topic; rows made of them are easy to tell apart, even for random weights."""


def rows(topics: Sequence[str], count: int, seed: int = 0) -> list[tuple[str, str]]:
    """`count` pairs of text and topic, in turn."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for index in range(count):
        topic = topics[index % len(topics)]
        words = TOPICS[topic].split()
        chosen = torch.randint(len(words), (6 + index % 5,), generator=generator).tolist()
        result.append((" ".join(words[at] for at in chosen), topic))
    return result


def write_rows(path: Path, found: Sequence[tuple[str, dict[str, int]]]) -> Path:
    """Writes JSONL of prompts with completions."""
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in found]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def multiclass(path: Path, count: int, seed: int = 0, topics: Sequence[str] = tuple(TOPICS)) -> Path:
    """JSONL in which each row has one of the topics."""
    found = [(text, {name: int(name == topic) for name in topics}) for text, topic in rows(topics, count, seed)]
    return write_rows(path, found)


def binary(path: Path, count: int, seed: int = 0) -> Path:
    """JSONL with the single label is_sport."""
    return write_rows(
        path, [(text, {"is_sport": int(topic == "sport")}) for text, topic in rows(tuple(TOPICS), count, seed)]
    )


def multilabel(path: Path, count: int, seed: int = 0) -> Path:
    """JSONL in which a row has one topic, two, or none."""
    single = rows(tuple(TOPICS), 2 * count, seed)
    found = []
    for index in range(count):
        (first, topic), (second, other) = single[2 * index], single[2 * index + 1]
        if index % 5 == 0:
            found.append(("zzz qqq xxx", dict.fromkeys(TOPICS, 0)))
        elif index % 2:
            found.append((f"{first} {second}", {name: int(name in (topic, other)) for name in TOPICS}))
        else:
            found.append((first, {name: int(name == topic) for name in TOPICS}))
    return write_rows(path, found)


def tiny_tokenizer(*, bert: bool = False) -> PreTrainedTokenizerBase:
    """A byte-level BPE trained on the topics; with [CLS] and [SEP] for encoders."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "[CLS]", "[SEP]", "[PAD]"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TOPICS.values(), "In one word: Category: Topic: =>"], trainer)
    if bert:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
        return _fast(
            tokenizer_object=tokenizer,
            cls_token="[CLS]",
            sep_token="[SEP]",
            pad_token="[PAD]",
            model_max_length=POSITIONS,
        )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _fast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def _fast(**options: Any) -> PreTrainedTokenizerBase:
    build: Any = PreTrainedTokenizerFast  # untyped in transformers
    made = build(**options)
    assert isinstance(made, PreTrainedTokenizerBase)
    return made


def tiny_model(kind: Kind, seed: int = 0) -> PreTrainedModel:
    """A backbone with random weights: two layers, 32 wide."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": POSITIONS,
    }
    if kind in ENCODERS:
        # With the usual .02 their features hardly move (a three hundredth of their size): the head's norm is 25,000,
        # and what fp32 rounds moves a probability by 1e-4.
        shape["initializer_range"] = 0.1
    match kind:
        case "qwen3":
            # Without a pad id, as Qwen3-Base has none.
            return Qwen3ForCausalLM(Qwen3Config(**shape, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True))
        case "llama":
            return LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=2, pad_token_id=3))
        case "smollm2":
            # A Llama whose embeddings are tied, with three heads to a key.
            shape |= {"num_attention_heads": 3, "hidden_size": 36, "num_key_value_heads": 1, "head_dim": 12}
            return LlamaForCausalLM(LlamaConfig(**shape, pad_token_id=3, tie_word_embeddings=True))
        case "mistral":
            return MistralForCausalLM(MistralConfig(**shape, num_key_value_heads=2, sliding_window=8, pad_token_id=3))
        case "gemma":
            return GemmaForCausalLM(GemmaConfig(**shape, num_key_value_heads=1, head_dim=8, pad_token_id=3))
        case "gemma3":
            # One layer sees a window only, the other everything.
            layers = ["sliding_attention", "full_attention"]
            config: Any = Gemma3TextConfig
            gemma3: Any = Gemma3ForCausalLM
            made = config(
                **shape, num_key_value_heads=1, head_dim=8, pad_token_id=3, sliding_window=8, layer_types=layers
            )
            return _model(gemma3(made))
        case "modernbert":
            modern: Any = ModernBertConfig
            model: Any = ModernBertModel
            made = modern(
                **shape,
                pad_token_id=3,
                cls_token_id=1,
                sep_token_id=2,
                bos_token_id=1,
                eos_token_id=2,
                local_attention=8,
            )
            return _model(model(made))
        case "minilm":
            return BertModel(BertConfig(**shape, **_NO_DROPOUT, pad_token_id=3))
        case "bert":
            # No pooler: what is new then lies in two places.
            return BertModel(BertConfig(**shape, **_NO_DROPOUT, pad_token_id=3), add_pooling_layer=False)
        case "roberta":
            return RobertaModel(RobertaConfig(**shape, **_NO_DROPOUT, pad_token_id=3), add_pooling_layer=False)


def _model(made: object) -> PreTrainedModel:
    assert isinstance(made, PreTrainedModel)
    return made


def tiny_folder(folder: Path, kind: Kind = "qwen3", *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A model folder with tokenizer, as a base model is given."""
    model: torch.nn.Module = tiny_model(kind, seed)
    model.to(dtype)
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(folder)
    tiny_tokenizer(bert=kind in ENCODERS).save_pretrained(folder)
    return folder
