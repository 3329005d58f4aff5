"""Foreign folders, asked in the dialects that list scores: the numbers of transformers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from classifier_server.config import parse
from support.answers import posted
from support.server_models import TEXTS, bert_folder

INPUT = [text for text in TEXTS if text]
MODELS: dict[str, dict[str, Any]] = {
    "one logit": {"labels": 1},
    "two labels": {"labels": 2},
    "multiclass": {"labels": 4, "problem_type": "single_label_classification"},
    "multilabel": {"labels": 3, "problem_type": "multi_label_classification"},
}


def near(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"label": row["label"], "score": pytest.approx(row["score"], abs=1e-4)} for row in rows]


@pytest.mark.parametrize("kind", MODELS)
def test_scores_are_those_of_the_pipeline(tmp_path: Path, kind: str) -> None:
    folder = bert_folder(tmp_path, **MODELS[kind])
    config = parse(
        {
            "version": "v1alpha1",
            "name": "news",
            "model": {"uri": f"file://{folder}"},
            "server": {"precision": "Float32"},
        },
        "test",
    )
    task: Any = pipeline("text-classification", model=str(folder), device="cpu")
    functions = ["sigmoid", "softmax", "none"]
    default, *applied, tei, raw, vllm, infinity = posted(
        config,
        ("/hf", {"inputs": INPUT, "parameters": {}}),
        *(("/hf", {"inputs": INPUT, "parameters": {"function_to_apply": name, "top_k": 2}}) for name in functions),
        ("/predict", {"inputs": [[text] for text in INPUT]}),
        ("/predict", {"inputs": [[text] for text in INPUT], "raw_scores": True}),
        ("/vllm/classify", {"input": INPUT}),
        ("/infinity/classify", {"input": INPUT}),
    )

    def expected(**arguments: Any) -> list[Any]:
        return [near(row) for row in task(INPUT, truncation=True, **arguments)]

    by_default = expected(top_k=None)
    for answer in (default, tei, infinity["data"]):
        assert answer == by_default
    for answer, name in zip(applied, functions, strict=True):
        assert answer == expected(top_k=2, function_to_apply=name), name
    assert raw == expected(top_k=None, function_to_apply="none")
    names = [task.model.config.id2label[index] for index in range(MODELS[kind]["labels"])]
    for row, scores in zip(vllm["data"], default, strict=True):
        by_name = {each["label"]: each["score"] for each in scores}
        assert row["probs"] == pytest.approx([by_name[name] for name in names], abs=1e-4)
        assert row["label"] == scores[0]["label"]
