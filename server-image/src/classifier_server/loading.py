"""From the configuration to a classifier that is warmed up. Runs in a thread of its own while the ports already answer;
only its functions import torch and transformers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from classifier_artifacts.fetch import shown
from classifier_server.config import ServeConfig
from classifier_server.cpus import available_cpus
from classifier_server.memory import keep_freed_memory
from classifier_server.model_files import fetch_files, read_ahead

if TYPE_CHECKING:
    from classifier_artifacts.folder import ModelFolder
    from classifier_server.classifier import Classifier
    from classifier_server.metrics import Metrics

logger = logging.getLogger(__name__)

# What a model that can read far more gets, unless the configuration or the checkpoint says otherwise.
_DEFAULT_MAX_LENGTH = 1024
# transformers' value for "no limit known" is about 1e30.
_NO_LIMIT = 10**7
# These count positions from the pad token's id on, so that many fewer tokens fit than the configuration says.
_POSITIONS_AFTER_PAD = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "data2vec-text"}
)


def load_classifier(
    config: ServeConfig, metrics: Metrics, *, report: Callable[[str], None], on_broken: Callable[[str], None]
) -> Classifier:
    """Finds, opens, loads and warms up the model; `report` is told what is being done.

    Raises:
        UserError: what the user must mend, in one sentence.
        TransientError: the hub could not be reached.
    """
    files = fetch_files(config, report)
    read_ahead(files)
    report("importing torch and transformers")
    import torch
    import transformers

    from classifier_artifacts.folder import open_folder
    from classifier_server.classifier import Classifier, LabelSet
    from classifier_server.engine import Engine
    from classifier_server.playground.about import About, read_test
    from classifier_server.precision import choose_dtype
    from classifier_server.tokenization import TextEncoder
    from classifier_server.transformers_backend import TransformersBackend, choose_device

    # Its progress bars and reports are for notebooks; what matters of them is raised as an error.
    console: Any = transformers.utils.logging
    console.disable_progress_bar()
    console.set_verbosity_error()
    uri = shown(config.model.uri)
    folder = open_folder(files.path, files.base, name=uri)
    tokenizer: Any = folder.load_tokenizer()
    side: Literal["Right", "Left"] = "Left" if tokenizer.truncation_side == "left" else "Right"
    encoder = TextEncoder(_fast(tokenizer, config), max_length(config.server.max_length, folder, tokenizer), side)
    cpus = available_cpus()
    torch.set_num_threads(cpus)
    device = choose_device()
    if device.type == "cpu":
        keep_freed_memory()
    dtype = choose_dtype(config.server.precision, device)
    report(f"loading {uri} ({folder.kind}, {dtype} on {device})")
    model = folder.load_model(dtype if device.type == "cuda" else None, pickled=config.server.allow_pickle)
    backend = TransformersBackend(model, device=device, dtype=dtype, cpus=cpus)
    budget = config.server.max_batch_tokens
    engine = Engine(
        backend,
        max_queue=config.server.max_queue,
        max_batch_tokens=None if budget == "Auto" else budget,
        observer=metrics,
        on_broken=on_broken,
    )
    report("warming up")
    engine.warm_up(encoder.encode(["warm up"]).ids[0][0], encoder.max_length)
    engine.start()
    labels = LabelSet(
        task=folder.task,
        names=tuple(folder.labels),
        logit_names=_logit_names(folder.config),
        thresholds=dict(folder.classifier.thresholds) if folder.classifier else {},
    )
    logger.info(
        "%s: %s, %d labels, %s on %s, %d CPUs, at most %d tokens a text, %.0f tokens/s when warm",
        config.model_id, folder.task, len(labels.names), dtype, device, cpus, encoder.max_length,
        engine.tokens_per_second,
    )  # fmt: skip
    about = About(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpus} CPU{'s' * (cpus != 1)}",
        precision=str(dtype).removeprefix("torch."),
        classifier=folder.classifier,
        test=read_test(files.path),
        version=files.version,
    )
    return Classifier(labels, encoder, engine, metrics, tokenizer_threads=cpus, about=about)


def _logit_names(config: Any) -> tuple[str, ...]:
    names = {int(index): str(name) for index, name in config.id2label.items()}
    return tuple(names[index] for index in sorted(names))


def max_length(wanted: int | None, folder: ModelFolder, tokenizer: Any) -> int:
    """Tokens of a text: `wanted`, else what the checkpoint was trained with, else 1024; never more than fit."""
    asked = wanted or (folder.classifier.max_length if folder.classifier else None)
    limit = _positions(folder.config, tokenizer)
    if asked is not None and limit is not None and asked > limit:
        logger.warning("server.maxLength: the model takes at most %d tokens, not %d", limit, asked)
    return min(asked or _DEFAULT_MAX_LENGTH, limit or _NO_LIMIT)


def _positions(config: Any, tokenizer: Any) -> int | None:
    """How many tokens the model has positions for, where it says so."""
    text = config.get_text_config()
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _NO_LIMIT else []
    positions = getattr(text, "max_position_embeddings", None)
    # -1 stands for relative positions without a limit, as in some DeBERTa
    if isinstance(positions, int) and positions > 0:
        after_pad = text.model_type in _POSITIONS_AFTER_PAD
        limits.append(positions - (int(text.pad_token_id) + 1) if after_pad else positions)
    return min(limits, default=None)


def _fast(tokenizer: Any, config: ServeConfig) -> Any:
    """The Rust tokenizer behind transformers' one."""
    from classifier_artifacts.errors import UserError

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"'{shown(config.model.uri)}' has only a slow tokenizer: save it with a tokenizer.json.")
    return backend
