"""Going on from a checkpoint of another run: the head keeps what it knows, and says what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier_artifacts.classifier_json import BaseModelReference, ClassifierJson, Task, write_classifier_json
from classifier_artifacts.folder import folder_digest, open_folder
from classifier_trainer.errors import UserError
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.lora import add_adapter
from classifier_trainer.model.template import save_tokenizer, set_limits, with_template
from support.tiny_models import Kind, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
TEMPLATE = "{prompt}\nTopic:"


def load(path: Path, task: Task = "Multiclass", labels: str = "abc", **options: Any) -> Backbone:
    options = {"max_length": None, "dtype": torch.float32, **options}
    return load_backbone(path, "pvc://m/x", task=task, labels=list(labels), **options)


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        found = model(input_ids=IDS).logits
    assert isinstance(found, torch.Tensor)
    return found


def checkpoint(
    folder: Path,
    *,
    kind: Kind = "qwen3",
    task: Task = "Multiclass",
    labels: str = "abc",
    adapter: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A checkpoint as a run leaves it, with weights that it might have come to; its base is in `folder`/base."""
    base = tiny_folder(folder / "base", kind, dtype=dtype)
    backbone = load(base, task, labels)
    target = folder / "checkpoint"
    torch.manual_seed(7)
    if adapter:
        trained = add_adapter(backbone, rank=2, alpha=4, dropout=0, target_modules=None)
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.normal_(std=0.2)
        trained.save(target, None)
    else:
        with torch.no_grad():
            for parameter in backbone.model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        backbone.model.save_pretrained(target)
    backbone.model.config.dtype = dtype
    backbone.model.config.save_pretrained(target)
    tokenizer = with_template(backbone.tokenizer, TEMPLATE)
    set_limits(tokenizer, 32, "Right")
    save_tokenizer(tokenizer, target)
    write_classifier_json(
        target,
        ClassifierJson(
            task=task,
            labels=list(labels),
            base_model=BaseModelReference(uri="pvc://base/m", digest=folder_digest(base)),
            max_length=32,
            template=TEMPLATE,
        ),
    )
    return target


@pytest.mark.parametrize("kind", ["qwen3", "bert", "roberta", "modernbert"])
@pytest.mark.parametrize("adapter", [True, False])
def test_labels_in_another_order(tmp_path: Path, kind: Kind, adapter: bool) -> None:
    path = checkpoint(tmp_path, kind=kind, adapter=adapter)
    base = tmp_path / "base" if adapter else None
    served = logits(open_folder(path, base).load_model())
    found = load(path, labels="cab", adapter_base=base)
    torch.testing.assert_close(logits(found.model), served[:, [2, 0, 1]])
    assert found.model.config.id2label == {0: "c", 1: "a", 2: "b"}
    assert found.kept_labels == ("c", "a", "b")
    assert found.head_name in [name for name, _ in found.model.named_modules()]
    # Only the head is trained whole: what was new to the earlier run has its weights now.
    assert found.new_modules == ["score" if kind == "qwen3" else "classifier"]
    assert found.continued is not None
    assert found.continued.sentence == "the head keeps 3 labels of the checkpoint"
    assert found.again is not None
    torch.testing.assert_close(logits(found.again(torch.float32).model), logits(found.model))


@pytest.mark.parametrize("kind", ["qwen3", "bert"])
def test_head_is_grown(tmp_path: Path, kind: Kind) -> None:
    path = checkpoint(tmp_path, kind=kind)
    served = logits(open_folder(path).load_model())
    found = load(path, labels="bxay")
    assert found.head.out_features == found.model.num_labels == 4
    torch.testing.assert_close(logits(found.model)[:, [0, 2]], served[:, [1, 0]])
    assert (logits(found.model)[:, [1, 3]] == 0).all()
    assert found.kept_labels == ("b", "a")
    assert found.continued is not None
    assert found.continued.sentence == (
        "the head keeps 2 labels of the checkpoint; 2 labels new to it: x, y; 1 label not in the data and dropped: c"
    )


def test_multilabel_rows_are_kept(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, task="Multilabel", labels="ab")
    served = logits(open_folder(path).load_model())
    found = load(path, "Multilabel", "zb")
    torch.testing.assert_close(logits(found.model)[:, 1], served[:, 1])
    assert found.model.config.problem_type == "multi_label_classification"


def test_binary(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, task="Binary", labels="a")
    served = logits(open_folder(path).load_model())
    same = load(path, "Binary", "a", negative_label="nothing")
    torch.testing.assert_close(logits(same.model), served)
    assert same.model.config.id2label == {0: "nothing", 1: "a"}
    assert same.kept_labels == ("a",)
    other = load(path, "Binary", "b")
    assert other.kept_labels == ()
    assert other.continued is not None
    assert "knows none of the labels of the data (it knows a): the head starts anew" in other.continued.sentence
    assert not torch.allclose(logits(other.model), served)


@pytest.mark.parametrize(("task", "labels"), [("Multilabel", "abc"), ("Binary", "a")])
def test_labels_of_another_task_mean_something_else(tmp_path: Path, task: Task, labels: str) -> None:
    found = load(checkpoint(tmp_path), task, labels)
    assert found.kept_labels == ()
    assert found.continued is not None
    assert found.continued.sentence == f"the checkpoint is Multiclass and the data are {task}: the head starts anew"
    assert float(found.head.weight.detach().abs().max()) > 0
    assert found.head.out_features == (2 if task == "Binary" else 3)


def test_adapter_needs_its_own_base(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, adapter=True)
    with pytest.raises(UserError, match=r"holds only an adapter: write baseModel\.adapterBase: pvc://base/m beside it"):
        load(path)
    other = tiny_folder(tmp_path / "other", seed=5)
    with pytest.raises(UserError, match="was trained from another base model"):
        load(path, adapter_base=other)
    found = load(path, adapter_base=tmp_path / "base")
    assert found.continued is not None
    assert found.continued.is_adapter


def test_adapter_of_another_program(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, adapter=True)
    (path / "classifier.json").unlink()
    with pytest.raises(UserError, match="is an adapter of another program"):
        load(path, adapter_base=tmp_path / "base")


def test_number_formats(tmp_path: Path) -> None:
    """The backbone is rounded for computing, the head and what is saved again are not."""
    path = checkpoint(tmp_path, adapter=True, dtype=torch.bfloat16)
    found = load(path, adapter_base=tmp_path / "base", dtype=torch.bfloat16)
    assert found.stored_dtype == torch.bfloat16
    assert found.head.weight.dtype == torch.float32
    assert found.model.dtype == torch.bfloat16
    assert found.again is not None
    whole = found.again(torch.float32).model
    assert whole.dtype == torch.float32
    torch.testing.assert_close(logits(whole), logits(open_folder(path, tmp_path / "base").load_model()))


def test_template_is_kept(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for asked in ("Auto", TEMPLATE):
        found = load(path, template=asked)
        assert found.continued is not None
        assert found.continued.template == TEMPLATE
        assert str(found.tokenizer.decode(found.tokenizer("the match")["input_ids"])).endswith("\nTopic:")
    for asked in ("{prompt}", "{prompt} =>"):
        with pytest.raises(
            UserError, match=r"was trained with the template '\{prompt\}\\nTopic:'.*write template Auto"
        ):
            load(path, template=asked)


def test_length(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    assert load(path).max_length == 32
    assert load(path, max_length=100).max_length == 100  # the model bears more than the earlier run asked for
    with pytest.raises(UserError, match="bears at most 128 tokens"):
        load(path, max_length=129)


def test_foreign_classifier_gets_a_new_head(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    (path / "classifier.json").unlink()
    found = load(path)
    assert found.continued is None
    assert found.kept_labels == ()


def test_folder_that_contradicts_itself(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    content = json.loads((path / "classifier.json").read_text())
    (path / "classifier.json").write_text(json.dumps({**content, "labels": ["a", "b"]}))
    with pytest.raises(UserError, match="contradicts itself"):
        load(path)


def test_negative_label(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base")
    assert load(base, "Binary", "a").model.config.id2label == {0: "not a", 1: "a"}
    assert load(base, "Binary", "a", negative_label="other").model.config.id2label == {0: "other", 1: "a"}
    with pytest.raises(UserError, match="'a' is the label itself"):
        load(base, "Binary", "a", negative_label="a")
