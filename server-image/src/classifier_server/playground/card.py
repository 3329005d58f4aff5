"""The model card as the page asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from classifier_server.dialects.dialect import Facts, Rendered
from classifier_server.dialects.writing import dump
from classifier_server.errors import RequestError

if TYPE_CHECKING:
    from classifier_artifacts.classifier_json import ClassifierJson
    from classifier_server.classifier import Classifier


def card(facts: Facts, classifier: Classifier | None) -> Rendered:
    """The card as JSON. Raises RequestError 503 until the model is loaded."""
    if classifier is None:
        raise RequestError(503, "The model is not loaded yet.", headers={"retry-after": "1"})
    labels, about = classifier.labels, classifier.about
    document: dict[str, Any] = {
        "name": facts.names[0],
        "checkpoint": facts.checkpoint,
        "uri": facts.uri,
        "task": labels.task,
        "labels": labels.names,
        "thresholds": dict(labels.thresholds),
        "absent": _absent(labels.names, labels.logit_names) if labels.task == "Binary" else None,
        "maxLength": classifier.encoder.max_length,
        "device": about.device,
        "precision": about.precision,
        **_training(about.classifier),
        "test": about.test.model_dump(mode="json", by_alias=True, exclude_none=True) if about.test else None,
    }
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Rendered(dump({name: value for name, value in document.items() if value is not None}), headers=headers)


def _absent(names: tuple[str, ...], logit_names: tuple[str, ...]) -> str:
    """What Binary's other class is called."""
    return logit_names[0] if len(logit_names) > 1 else f"not {names[0]}"


def _training(classifier: ClassifierJson | None) -> Mapping[str, Any]:
    if classifier is None:
        return {}
    base = classifier.base_model
    return {
        "method": classifier.method,
        "calibrated": classifier.calibrated,
        "baseModel": {"uri": base.uri, "revision": base.revision} if base else None,
    }
