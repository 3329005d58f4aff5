"""`python -m support.keyword_server`: the real server around a model that counts words, for tests of the playground.

KEYWORD_MODEL is JSON: `task`, `labels`, and if you like `keywords` (a word a label, else the label's name),
`thresholds`, `max_length`, `seconds_per_batch`, `load_seconds`, `fail_at` (a word that the model fails on) and `folder`
(a checkpoint's, for the model card).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from classifier_artifacts.classifier_json import read_classifier_json
from classifier_server.__main__ import main
from classifier_server.backend import Logits
from classifier_server.classifier import Classifier, LabelSet
from classifier_server.config import ServeConfig
from classifier_server.engine import Engine
from classifier_server.metrics import Metrics
from classifier_server.playground.about import About, read_test
from classifier_server.tokenization import TextEncoder

ENVIRONMENT_VARIABLE = "KEYWORD_MODEL"
_PER_WORD = 3.0


class KeywordBackend:
    """Implements classifier_server.backend.Backend: a label's logit rises with each of its words, which are token
    1 + its place; token 0 is any other word, the last one is a word that breaks the batch."""

    workers = 1
    max_batch_tokens = 4096
    max_padding = 0.5

    def __init__(self, outputs: int, bias: Sequence[float], seconds_per_batch: float) -> None:
        self._outputs = outputs
        self._bias = np.asarray(bias, np.float32)
        self._seconds = seconds_per_batch

    def forward(self, batch: Sequence[Sequence[int]], threads: int) -> Logits:  # noqa: ARG002  # one is enough
        """See Backend."""
        time.sleep(self._seconds)
        found = np.array([np.bincount(ids, minlength=self._outputs + 2) for ids in batch], np.float32)
        if found[:, -1].any():
            raise RuntimeError("this word is too much")
        return _PER_WORD * found[:, 1:-1] + self._bias


def load(
    config: ServeConfig, metrics: Metrics, *, report: Callable[[str], None], on_broken: Callable[[str], None]
) -> Classifier:
    """In place of loading.load_classifier."""
    spec: dict[str, Any] = json.loads(os.environ[ENVIRONMENT_VARIABLE])
    task, names = spec["task"], tuple(spec["labels"])
    report("counting words")
    time.sleep(spec.get("load_seconds", 0.0))
    words = spec.get("keywords", names)
    outputs = (f"not {names[0]}", names[0]) if task == "Binary" else names
    # Of Binary's two outputs only the second has a word.
    first = 2 if task == "Binary" else 1
    vocabulary = {"[UNK]": 0, **{word: first + place for place, word in enumerate(words)}}
    if "fail_at" in spec:
        vocabulary[spec["fail_at"]] = len(outputs) + 1
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bias = [-0.2 * place - (1.5 if task == "Multilabel" else 0.0) for place in range(len(outputs))]
    backend = KeywordBackend(len(outputs), bias, spec.get("seconds_per_batch", 0.0))
    engine = Engine(backend, max_queue=config.server.max_queue, observer=metrics, on_broken=on_broken)
    engine.start()
    folder = Path(spec["folder"]) if "folder" in spec else None
    about = About(
        device="2 CPUs",
        precision="float32",
        classifier=read_classifier_json(folder) if folder else None,
        test=read_test(folder) if folder else None,
    )
    labels = LabelSet(task, names, outputs, spec.get("thresholds", {}))
    return Classifier(labels, TextEncoder(tokenizer, spec.get("max_length", 64)), engine, metrics, about=about)


if __name__ == "__main__":
    code = main(load_model=load)
    sys.stderr.flush()
    os._exit(code)
