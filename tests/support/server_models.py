"""Tiny random sequence-classification folders, as transformers itself saves them, for tests of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

# transformers does not annotate these constructors.
_Tokenizer: Any = PreTrainedTokenizerFast
_Llama: Any = LlamaForSequenceClassification

TEXTS = (
    "Grain shipments rose by four percent in March.",
    "The company will acquire all shares of its rival.",
    "Oil",
    "crude oil prices fell, and fell again; " * 12,
    "Überraschung: naïve café 東京 🙂",
    "",
    "  spaces   and\n\nnewlines\t",
)
MAX_LENGTH = 64


def bert_folder(folder: Path, *, labels: int = 4, **config: Any) -> Path:
    """A BERT of two layers with a WordPiece tokenizer that adds [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    fast = _Tokenizer(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MAX_LENGTH,
    )
    torch.manual_seed(1)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=MAX_LENGTH,
            pad_token_id=0,
            initializer_range=0.5,
            **_labels(labels, config),
        )
    )
    return _save(folder, model, fast)


def llama_folder(folder: Path, *, labels: int = 4, suffix: str | None = "\nTopic:", **config: Any) -> Path:
    """A Llama of two layers with a byte-level tokenizer that adds the template's suffix behind every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    if suffix is not None:
        ids = tokenizer.encode(suffix).ids
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A suffix",
            special_tokens=[
                {"id": "suffix", "ids": ids, "tokens": [str(tokenizer.id_to_token(token)) for token in ids]}
            ],
        )
    fast = _Tokenizer(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", model_max_length=MAX_LENGTH)
    torch.manual_seed(2)
    model = _Llama(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=4 * MAX_LENGTH,
            pad_token_id=0,
            initializer_range=0.5,
            **_labels(labels, config),
        )
    )
    return _save(folder, model, fast)


def write_classifier_json(folder: Path, **content: Any) -> Path:
    """Makes `folder` a checkpoint of ours."""
    (folder / "classifier.json").write_text(json.dumps({"version": "v1alpha1", **content}))
    return folder


def _labels(count: int, config: dict[str, Any]) -> dict[str, Any]:
    names = {index: f"label-{index}" for index in range(count)}
    return {"num_labels": count, "id2label": names, "label2id": {name: index for index, name in names.items()}} | config


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    # At initialisation heads are so small that every text would get nearly the same answer.
    with torch.no_grad():
        head = model.score if hasattr(model, "score") else model.classifier
        head.weight.normal_(0.0, 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
