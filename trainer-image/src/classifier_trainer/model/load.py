"""Loads the backbone with a head for the labels of this run: a new one, or what a checkpoint brings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from classifier_artifacts.classifier_json import Task, read_classifier_json
from classifier_artifacts.folder import ensure_pad_token, load_config, load_tokenizer
from classifier_trainer.errors import UserError
from classifier_trainer.model.continuing import check_template, grow_head, open_checkpoint

_DEFAULT_MAX_LENGTH = 1024
_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say a number far above this."""


@dataclass(frozen=True)
class Backbone:
    """A model with a head for the labels, and what a checkpoint of it must hold beyond an adapter."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: nn.Linear
    """The last linear layer, [labels, width]."""
    head_name: str
    new_modules: list[str]
    """Modules without trained weights, and always the head: trained fully and saved whole."""
    stored_dtype: torch.dtype
    """The number format of the base model's own file, in which the merged model is saved."""
    max_length: int
    uri: str
    continued: Continued | None = None
    """None for a base model."""
    again: Callable[[torch.dtype], Backbone] | None = None
    """Loads the same once more, for saving, in another number format."""

    @property
    def kept_labels(self) -> tuple[str, ...]:
        """Labels whose rows of the head come from the checkpoint, trained and calibrated; other rows are new."""
        return self.continued.labels if self.continued else ()


@dataclass(frozen=True)
class Continued:
    """What came from a checkpoint of an earlier run."""

    labels: tuple[str, ...]
    template: str | None
    """It stands in the tokenizer already, and stays."""
    is_adapter: bool
    """No folder holds the weights that this run starts from, so an adapter of its own would have no base."""
    sentence: str
    """What was kept and what is new, for the log and the status."""


def load_backbone(
    path: Path,
    uri: str,
    *,
    task: Task,
    labels: list[str],
    max_length: int | None,
    dtype: torch.dtype,
    negative_label: str | None = None,
    template: str = "Auto",
    adapter_base: Path | None = None,
) -> Backbone:
    """Loads the folder `path` (called `uri` in messages) with a head for `labels`.

    A checkpoint of an earlier run brings its head, as far as it knows the labels, and its template.

    Args:
        negative_label: what Binary's other class is called (`not <label>`).
        template: what the user asked for; only a checkpoint refuses any.
        adapter_base: the base model's folder, where `path` is an adapter.

    Raises:
        UserError: no usable model or tokenizer there, or `max_length` is more than the model bears.
    """
    quiet_libraries()
    if not path.is_dir():
        raise UserError(f"baseModel.uri: '{uri}' is not a folder: name a Hugging Face model folder.")
    if negative_label is not None and negative_label in labels:
        raise UserError(f"hyperparameters.negativeLabel: '{negative_label}' is the label itself: name its opposite.")
    names = _logit_names(task, labels, negative_label)

    def load(dtype: torch.dtype) -> Backbone:
        classifier = read_classifier_json(path)
        if classifier is None:
            return _new_head(path, uri, task, names, max_length, dtype)
        check_template(template, classifier, uri)
        found = open_checkpoint(path, classifier, uri, adapter_base, dtype)
        model, config = found.model, found.model.config
        stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
        # The tokenizer's own limit is the earlier run's maxLength, which says nothing of what the model bears.
        length = _max_length(config, None, max_length or classifier.max_length, uri)
        head_name, _ = _find_head(model, len(config.id2label or {}), uri)
        kept = grow_head(model, head_name, (classifier.task, classifier.labels), (task, labels))
        _set_labels(config, task, names)
        head = _find_head(model, len(names), uri)[1]
        modules = sorted(_modules_of({f"{head_name}.weight"}, uri))
        continued = Continued(kept.labels, classifier.template, found.is_adapter, kept.sentence)
        return Backbone(model, found.tokenizer, head, head_name, modules, stored, length, uri, continued)

    return replace(load(dtype), again=load)


def _new_head(
    path: Path, uri: str, task: Task, names: list[str], max_length: int | None, dtype: torch.dtype
) -> Backbone:
    if (path / "adapter_config.json").is_file():
        raise UserError(f"baseModel.uri: '{uri}' is an adapter of another program: name its base model, or merge it.")
    name = f"baseModel.uri: {uri}"
    config = load_config(path, name)
    tokenizer = load_tokenizer(path, name)
    ensure_pad_token(config, tokenizer)
    length = _max_length(config, tokenizer, max_length, uri)
    stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    _set_labels(config, task, names)
    model, new = _load(path, uri, config, dtype)
    head_name, head = _find_head(model, len(names), uri)
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


def _logit_names(task: Task, labels: list[str], negative: str | None) -> list[str]:
    # Binary has two logits: with one, a plain pipeline would name the label whatever the probability.
    return [negative or f"not {labels[0]}", labels[0]] if task == "Binary" else labels


def _set_labels(config: PretrainedConfig, task: Task, names: list[str]) -> None:
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


def _max_length(
    config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase | None, asked: int | None, uri: str
) -> int:
    text = config.get_text_config()
    limits = [tokenizer.model_max_length] if tokenizer and tokenizer.model_max_length < _NO_LIMIT else []
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
