"""Opens a model folder: a checkpoint of ours (adapter or full) or any transformers sequence-classification folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from classifier_artifacts import adapter
from classifier_artifacts.classifier_json import ClassifierJson, Task, read_classifier_json
from classifier_artifacts.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "*.bin")
_SAMPLE = 1 << 20
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_PAD_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<|endoftext|>", "<unk>")


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that was looked at, but whose weights were not read yet."""

    name: str
    """How messages call it: its URI."""
    path: Path
    kind: Literal["adapter", "full"]
    base: Path | None
    """Folder of the base model, for an adapter."""
    config: PretrainedConfig
    task: Task
    labels: list[str]
    """Names of the labels with a probability, in its columns' order: one for Binary, one a logit else."""
    classifier: ClassifierJson | None
    """None for a foreign folder."""

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with the template in it; see `load_tokenizer`."""
        return load_tokenizer(self.path, self.name)

    def load_model(self, dtype: torch.dtype | None = None, *, pickled: bool = True) -> PreTrainedModel:
        """The model in evaluation mode on the CPU, its backbone in `dtype` (fp32) and its head in fp32.

        An adapter is merged in fp32. Weights that are stored in `dtype` never stand in memory as fp32. Without
        `pickled` only safetensors are read.

        Raises:
            UserError: the weights are not there, are incomplete, or do not fit.
        """
        import torch

        from classifier_artifacts.bfloat16 import cast_backbone

        wanted, source = dtype or torch.float32, self.base or self.path
        narrow = wanted != torch.float32 and str(wanted) == f"torch.{_stored_dtype(source)}"
        model, missing = _from_pretrained(
            source, self.config, self.name, wanted if narrow else torch.float32, pickled=pickled
        )
        if narrow:
            cast_backbone(model, wanted)
        if self.kind == "adapter":
            missing -= adapter.merge_adapter(model, self.path)
        elif narrow:
            _read_head(model, self.path)
        if missing:
            raise UserError(
                f"'{self.name}' has no weights for '{sorted(missing)[0]}': it is not a trained classifier, "
                "train one from it first."
            )
        ensure_pad_token(model.config, self.load_tokenizer())
        model.config.get_text_config().use_cache = False  # keys and values for texts to come: a classifier has none
        cast_backbone(model, wanted)
        module: torch.nn.Module = model  # transformers hides the type of eval() behind its decorators
        module.eval()
        return model


def open_folder(path: Path, base: Path | None = None, *, name: str | None = None) -> ModelFolder:
    """Looks at the folder `path`; `base` is the base model's folder, needed only if it turns out to be an adapter.

    Raises:
        UserError: no model folder, an adapter without its base, or labels that contradict each other.
    """
    name = name or str(path)
    config = load_config(path, name)
    classifier = read_classifier_json(path)
    is_adapter = (path / adapter.CONFIG_NAME).is_file()
    if is_adapter:
        adapter.read_adapter_config(path)
        _check_base(classifier, base, name)
    elif not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
        raise UserError(f"'{name}' holds no weights (*.safetensors): name the folder of a checkpoint.")
    task, labels = _task_and_labels(config, classifier, name)
    return ModelFolder(
        name=name,
        path=path,
        kind="adapter" if is_adapter else "full",
        base=base if is_adapter else None,
        config=config,
        task=task,
        labels=labels,
        classifier=classifier,
    )


def load_config(path: Path, name: str) -> PretrainedConfig:
    """The folder's config.json.

    Raises:
        UserError: none there, or of an architecture that this transformers does not know.
    """
    from transformers import AutoConfig

    if not (path / "config.json").is_file():
        raise UserError(f"'{name}' holds no config.json: name a Hugging Face model folder.")
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(path)
        return config
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{name}' has a config.json that cannot be used: {_first_line(error)}") from error


def load_tokenizer(path: Path, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, as it was saved.

    Raises:
        UserError: the folder has none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    # Without these files transformers would make up an empty tokenizer of the model's class, or ask the hub.
    if not any((path / file).is_file() for file in _TOKENIZER_FILES):
        raise UserError(f"'{name}' has no tokenizer: put tokenizer.json (and tokenizer_config.json) beside the model.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except Exception as error:  # whatever a broken tokenizer file makes of itself: the library names no base class
        raise UserError(f"'{name}' has a tokenizer that cannot be loaded: {_first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise UserError(f"'{name}' has a tokenizer of an unknown kind: save it with transformers.")
    return tokenizer


def folder_digest(path: Path) -> str:
    """`sha256:<hex>` over config.json and each weight file's name, size, first and last MiB.

    Cheap for weights of many GB, and different for another fine-tuning of the same architecture.
    """
    digest = hashlib.sha256((path / "config.json").read_bytes())
    for file in sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        size = file.stat().st_size
        digest.update(f"\0{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_SAMPLE))
            stream.seek(max(size - _SAMPLE, 0))
            digest.update(stream.read(_SAMPLE))
    return f"sha256:{digest.hexdigest()}"


def pad_token_id(config: PretrainedConfig) -> int | None:
    """The id that pooling skips: of the text part of the configuration, where there are several."""
    found = getattr(config.get_text_config(), "pad_token_id", None)
    return found if isinstance(found, int) else None


def ensure_pad_token(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives configuration and tokenizer one pad token, in place.

    Decoders pool the last token that is not the configuration's pad id, whatever the attention mask says; without one
    they refuse batches, and with another than the tokenizer's they pool padding. The tokenizer's own comes first, then
    the configuration's, then a token that no text contains.
    """
    found = tokenizer.pad_token_id
    if found is None:
        found = pad_token_id(config)
        token = tokenizer.convert_ids_to_tokens(found) if found is not None else None
        if token is None:
            vocabulary = tokenizer.get_vocab()
            token = next((name for name in _PAD_TOKENS if name in vocabulary), None) or tokenizer.eos_token
        if token is None:
            raise UserError(
                "the base model's tokenizer has neither a pad token nor one that could serve: add one to it."
            )
        tokenizer.pad_token = token
        found = tokenizer.pad_token_id
    config.get_text_config().pad_token_id = found


def _from_pretrained(
    path: Path, config: PretrainedConfig, name: str, dtype: torch.dtype, *, pickled: bool
) -> tuple[PreTrainedModel, set[str]]:
    """The model in `dtype`, and the names of the parameters for which `path` has no weights."""
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    loaded: Any
    try:
        with _quiet("transformers.modeling_utils"):
            loaded = AutoModelForSequenceClassification.from_pretrained(
                path,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=None if pickled else True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(f"'{name}' cannot be loaded as a classifier: {_first_line(error)}") from error
    model, info = loaded
    mismatched = {key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]}
    return model, set(info["missing_keys"]) | mismatched


def _stored_dtype(path: Path) -> str:
    """The number format that a model folder says its weights are in: `bfloat16`."""
    content = json.loads((path / "config.json").read_bytes())
    return str(content.get("dtype") or content.get("torch_dtype"))


def _read_head(model: PreTrainedModel, path: Path) -> None:
    """Fills the fp32 head with what is stored: loading rounded it to the format of the backbone."""
    import torch
    from safetensors import safe_open

    from classifier_artifacts.bfloat16 import head_modules

    heads = {id(parameter) for head in head_modules(model) for parameter in head.parameters()}
    wanted = {name: parameter for name, parameter in model.named_parameters() if id(parameter) in heads}
    for file in path.glob("*.safetensors"):
        with safe_open(file, "pt") as stored, torch.no_grad():
            for name in wanted.keys() & set(stored.keys()):
                wanted[name].copy_(stored.get_tensor(name))


def _check_base(classifier: ClassifierJson | None, base: Path | None, name: str) -> None:
    wanted = classifier.base_model if classifier else None
    if base is None:
        hint = f"of {wanted.uri}" if wanted else "it was trained from"
        raise UserError(
            f"'{name}' is an adapter and needs the base model {hint}: name that, or serve the merged `model` folder."
        )
    if wanted is not None and folder_digest(base) != wanted.digest:
        raise UserError(
            f"'{name}' was trained from another base model than the one given: use {wanted.uri} as it was then."
        )


def _task_and_labels(config: PretrainedConfig, classifier: ClassifierJson | None, name: str) -> tuple[Task, list[str]]:
    id2label = {int(index): str(label) for index, label in (config.id2label or {}).items()}
    logits = len(id2label)
    if classifier is not None:
        expected = 2 if classifier.task == "Binary" else len(classifier.labels)
        if logits != expected:
            raise UserError(
                f"'{name}' contradicts itself: config.json has {logits} labels, classifier.json {expected}."
            )
        return classifier.task, list(classifier.labels)
    labels = [id2label[index] for index in sorted(id2label)]
    if config.problem_type == "regression":
        raise UserError(f"'{name}' is a regression model: name a folder that was trained to classify.")
    if config.problem_type == "multi_label_classification" and logits > 1:
        return "Multilabel", labels
    return ("Binary" if logits == 1 else "Multiclass"), labels


@contextmanager
def _quiet(logger_name: str) -> Iterator[None]:
    """Silences the report of new weights: what is missing is found and said by the caller."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
