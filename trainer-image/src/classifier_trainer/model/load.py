"""Loads the backbone with a new head for the labels of this run."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.folder import ensure_pad_token, load_config, load_tokenizer
from classifier_trainer.errors import UserError

_DEFAULT_MAX_LENGTH = 1024
_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say a number far above this."""


@dataclass(frozen=True)
class Backbone:
    """A model with a new head, and what a checkpoint of it must hold beyond an adapter."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: nn.Linear
    """The last linear layer, [labels, width]."""
    head_name: str
    new_modules: list[str]
    """Modules without trained weights, the head's among them: trained fully and saved whole."""
    stored_dtype: torch.dtype
    """The number format of the base model's own file, in which the merged model is saved."""
    max_length: int
    uri: str


def load_backbone(
    path: Path, uri: str, *, task: Task, labels: list[str], max_length: int | None, dtype: torch.dtype
) -> Backbone:
    """Loads the folder `path` (called `uri` in messages) with a head for `labels`.

    Raises:
        UserError: no usable model or tokenizer there, or `max_length` is more than the model bears.
    """
    quiet_libraries()
    if not path.is_dir():
        raise UserError(f"baseModel.uri: '{uri}' is not a folder: name a Hugging Face model folder.")
    if (path / "adapter_config.json").is_file():
        raise UserError(f"baseModel.uri: '{uri}' is an adapter: name its base model, or a merged folder.")
    name = f"baseModel.uri: {uri}"
    config = load_config(path, name)
    tokenizer = load_tokenizer(path, name)
    ensure_pad_token(config, tokenizer)
    length = _max_length(config, tokenizer, max_length, uri)
    stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    _set_labels(config, task, labels)
    model, new = _load(path, uri, config, dtype)
    head_name, head = _find_head(model, len(config.id2label or {}), uri)
    modules = sorted(_modules_of(new | {f"{head_name}.weight"}, uri))
    head.float()
    model.config.get_text_config().use_cache = False  # a classifier reads a text once
    return Backbone(model, tokenizer, head, head_name, modules, stored, length, uri)


def quiet_libraries() -> None:
    """The libraries' own bars and reports would drown the run's."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("transformers").setLevel(logging.ERROR)
    # peft 0.21 still asks for a name that transformers 5.23 has renamed.
    warnings.filterwarnings("ignore", category=FutureWarning, message=".*is_gradient_checkpointing.*")


def _set_labels(config: PretrainedConfig, task: Task, labels: list[str]) -> None:
    # Binary has two logits: with one, a plain pipeline would name the label whatever the probability.
    names = [f"not {labels[0]}", labels[0]] if task == "Binary" else labels
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    config.problem_type = "multi_label_classification" if task == "Multilabel" else "single_label_classification"


def _load(path: Path, uri: str, config: PretrainedConfig, dtype: torch.dtype) -> tuple[PreTrainedModel, set[str]]:
    loaded: Any
    try:
        loaded = AutoModelForSequenceClassification.from_pretrained(
            path, config=config, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise UserError(f"baseModel.uri: '{uri}' cannot be loaded as a backbone: {_first_line(error)}") from error
    model, info = loaded
    mismatched = {key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]}
    new = set(info["missing_keys"]) | mismatched
    known = sum(1 for _ in model.parameters()) - len(new)
    if known < len(new):
        raise UserError(f"baseModel.uri: '{uri}' holds no weights for its own config.json: check the folder.")
    return model, new


def _find_head(model: PreTrainedModel, logits: int, uri: str) -> tuple[str, nn.Linear]:
    found = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not found or found[-1][1].out_features != logits:
        raise UserError(f"baseModel.uri: '{uri}' is of the kind {type(model).__name__}, whose head is not known here.")
    return found[-1]


def _modules_of(parameters: set[str], uri: str) -> set[str]:
    # peft always saves these two whole, so their parts must not be wrapped a second time.
    modules = {top if (top := name.partition(".")[0]) in PEFT_HEADS else name.rpartition(".")[0] for name in parameters}
    if "" in modules:
        raise UserError(f"baseModel.uri: '{uri}' has new parameters outside of any layer, which no adapter can save.")
    return modules


def _max_length(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, asked: int | None, uri: str) -> int:
    text = config.get_text_config()
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _NO_LIMIT else []
    positions = getattr(text, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa and its kin count positions from behind the pad id.
        offset = int(text.pad_token_id) + 1 if text.model_type in _OFFSET_POSITIONS else 0
        limits.append(positions - offset)
    limit = min(limits, default=_NO_LIMIT)
    if asked is not None and asked > limit:
        raise UserError(
            f"hyperparameters.maxLength is {asked}, but '{uri}' bears at most {limit} tokens: write at most that."
        )
    return asked or min(_DEFAULT_MAX_LENGTH, limit)


PEFT_HEADS = ("classifier", "score")
_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text"}
)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
