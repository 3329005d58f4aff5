"""`python -m support.fake_server`: the real server around a fake backend, so that its life can be tested without torch.

A text's tokens are its words; FAKE_LOAD_SECONDS and FAKE_BATCH_SECONDS say how long loading and a batch take; with
FAKE_BROKEN the device is lost in the first batch.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from tokenizers import Tokenizer, models, pre_tokenizers

from classifier_server.__main__ import main
from classifier_server.backend import BackendBrokenError
from classifier_server.classifier import Classifier, LabelSet
from classifier_server.config import ServeConfig
from classifier_server.engine import Engine
from classifier_server.metrics import Metrics
from classifier_server.tokenization import TextEncoder
from support.fake_backend import FakeBackend


def load_fake(
    config: ServeConfig, metrics: Metrics, *, report: Callable[[str], None], on_broken: Callable[[str], None]
) -> Classifier:
    """In place of loading.load_classifier."""
    report("pretending to load")
    time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
    lost = BackendBrokenError("the GPU failed: it is a fake") if os.environ.get("FAKE_BROKEN") else None
    backend = FakeBackend(seconds_per_batch=float(os.environ.get("FAKE_BATCH_SECONDS", "0")), fail=lambda _: lost)
    engine = Engine(backend, max_queue=config.server.max_queue, observer=metrics, on_broken=on_broken)
    engine.start()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    labels = LabelSet("Multiclass", ("a", "b"), ("a", "b"), {})
    return Classifier(labels, TextEncoder(tokenizer, 64), engine, metrics)


if __name__ == "__main__":
    code = main(load_model=load_fake)
    sys.stderr.flush()
    os._exit(code)
