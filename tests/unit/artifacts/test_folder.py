"""Model folders: ours and foreign ones, whole and as adapters, and sentences for what is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from classifier_artifacts.classifier_json import BaseModelReference, ClassifierJson, write_classifier_json
from classifier_artifacts.errors import UserError
from classifier_artifacts.folder import ensure_pad_token, folder_digest, load_config, load_tokenizer, open_folder
from support.tiny_models import tiny_folder, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings(
    # peft 0.21 asks for a name that transformers 5.23 has renamed.
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
    # peft says so of adapters on embeddings, which one of the tests wants.
    "ignore:Setting `save_embedding_layers`:UserWarning",
    "ignore:Model has `tie_word_embeddings=True`:UserWarning",
    "ignore:.*fan_in_fan_out.*:UserWarning",
)

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


# The types of transformers 5.23 know neither the fields of PreTrainedConfig nor that its models can be built.
Gpt2: Any = GPT2ForSequenceClassification
Gpt2Config: Any = GPT2Config
Llama: Any = LlamaForSequenceClassification
LlamaSettings: Any = LlamaConfig


def classifier(kind: str = "llama") -> PreTrainedModel:
    model = _classifier(kind)
    assert isinstance(model, PreTrainedModel)
    return model


def _classifier(kind: str) -> object:
    torch.manual_seed(1)
    if kind == "gpt2":
        return Gpt2(
            Gpt2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=3, pad_token_id=3)
        )
    return Llama(
        LlamaSettings(
            vocab_size=400,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_labels=3,
            pad_token_id=3,
        )
    )


def logits(model: nn.Module) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        found = model(input_ids=IDS).logits
    assert isinstance(found, torch.Tensor)
    return found


def save(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def randomise(model: nn.Module) -> None:
    """Adapters begin at zero, which would show nothing."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {"target_modules": ["q_proj", "down_proj"], "r": 4, "lora_alpha": 6}),
        ("llama", {"target_modules": "all-linear", "r": 4, "use_rslora": True}),
        ("llama", {"target_modules": ["q_proj", "v_proj"], "r": 4, "rank_pattern": {"q_proj": 2}}),
        ("llama", {"target_modules": ["q_proj", "v_proj"], "r": 4, "alpha_pattern": {"layers.1.self_attn.v_proj": 3}}),
        ("llama", {"target_modules": ["embed_tokens", "q_proj"], "r": 4}),
        ("llama", {"target_modules": ["q_proj"], "r": 4, "bias": "all"}),
        ("gpt2", {"target_modules": ["c_attn", "c_proj"], "r": 4, "bias": "lora_only"}),
    ],
    ids=["linear", "rslora", "rank_pattern", "alpha_pattern", "embedding", "bias", "conv1d"],
)
def test_adapter_is_merged_as_peft_merges_it(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    base = save(classifier(kind), tmp_path / "base")
    model = get_peft_model(classifier(kind), LoraConfig(task_type="SEQ_CLS", **options))
    randomise(model)
    checkpoint = tmp_path / "checkpoint"
    model.save_pretrained(str(checkpoint))
    classifier(kind).config.save_pretrained(checkpoint)
    tiny_tokenizer().save_pretrained(checkpoint)

    opened = open_folder(checkpoint, base)

    assert (opened.kind, opened.task, opened.labels) == ("adapter", "Multiclass", ["LABEL_0", "LABEL_1", "LABEL_2"])
    torch.testing.assert_close(logits(opened.load_model()), logits(model), rtol=1e-4, atol=1e-5)
    plain = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base), checkpoint)
    torch.testing.assert_close(logits(opened.load_model()), logits(plain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "not of a LoRA adapter"),
        ({"trainable_token_indices": [1]}, "trainable tokens"),
    ],
)
def test_other_adapters_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    checkpoint = adapter(tmp_path)
    path = checkpoint / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=words):
        open_folder(checkpoint, tmp_path / "base")


def adapter(folder: Path) -> Path:
    save(classifier(), folder / "base")
    model = get_peft_model(classifier(), LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj"]))
    checkpoint = folder / "checkpoint"
    model.save_pretrained(str(checkpoint))
    classifier().config.save_pretrained(checkpoint)
    tiny_tokenizer().save_pretrained(checkpoint)
    return checkpoint


def test_adapter_needs_its_own_base(tmp_path: Path) -> None:
    checkpoint = adapter(tmp_path)
    reference = BaseModelReference(uri="pvc://c/base", digest=folder_digest(tmp_path / "base"))
    write_classifier_json(checkpoint, ClassifierJson(task="Multiclass", labels=["a", "b", "c"], base_model=reference))
    assert open_folder(checkpoint, tmp_path / "base").labels == ["a", "b", "c"]
    with pytest.raises(UserError, match="needs the base model of pvc://c/base"):
        open_folder(checkpoint)
    other = tiny_folder(tmp_path / "other", "llama", seed=5)
    with pytest.raises(UserError, match="another base model"):
        open_folder(checkpoint, other)


def test_adapter_that_does_not_fit(tmp_path: Path) -> None:
    checkpoint = adapter(tmp_path)
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(UserError):
        open_folder(checkpoint, tmp_path / "base").load_model()


def test_digest_sees_weights_and_configuration(tmp_path: Path) -> None:
    first = folder_digest(tiny_folder(tmp_path / "a", seed=1))
    assert first == folder_digest(tiny_folder(tmp_path / "b", seed=1))
    assert first != folder_digest(tiny_folder(tmp_path / "c", seed=2))
    (tmp_path / "b" / "config.json").write_text("{}")
    assert first != folder_digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("config", "task", "labels"),
    [
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, "Multilabel", 3),
        ({"num_labels": 3}, "Multiclass", 3),
        ({"num_labels": 2}, "Multiclass", 2),
        ({"num_labels": 1}, "Binary", 1),
        ({"num_labels": 1, "problem_type": "multi_label_classification"}, "Binary", 1),
    ],
)
def test_foreign_folder(tmp_path: Path, config: dict[str, Any], task: str, labels: int) -> None:
    model = Llama(
        LlamaSettings(
            vocab_size=400, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, **config
        )
    )
    opened = open_folder(save(model, tmp_path))
    assert (opened.kind, opened.task, len(opened.labels), opened.classifier) == ("full", task, labels, None)
    loaded = opened.load_model()
    # It had no pad id, without which a batch is refused.
    assert loaded(input_ids=IDS).logits.shape == (2, labels)
    assert not loaded.training


def test_regression_is_refused(tmp_path: Path) -> None:
    model = classifier()
    model.config.problem_type = "regression"
    with pytest.raises(UserError, match="regression"):
        open_folder(save(model, tmp_path))


def test_a_base_model_is_no_classifier(tmp_path: Path) -> None:
    opened = open_folder(tiny_folder(tmp_path, "qwen3"), name="pvc://c/m")
    with pytest.raises(UserError, match=r"'pvc://c/m' has no weights for 'score.weight'.*not a trained classifier"):
        opened.load_model()


def test_labels_must_agree(tmp_path: Path) -> None:
    save(classifier(), tmp_path)
    write_classifier_json(tmp_path, ClassifierJson(task="Binary", labels=["a"]))
    with pytest.raises(UserError, match=r"has 3 labels, .* 2"):
        open_folder(tmp_path)


def test_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'pvc://c/m' holds no config\.json"):
        open_folder(tmp_path, name="pvc://c/m")
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(UserError, match="cannot be used"):
        load_config(tmp_path, "x")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be used"):
        load_config(tmp_path, "x")


def test_no_weights(tmp_path: Path) -> None:
    classifier().config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="holds no weights"):
        open_folder(tmp_path)


def test_no_tokenizer(tmp_path: Path) -> None:
    classifier().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has no tokenizer: put tokenizer\.json"):
        load_tokenizer(tmp_path, "x")
    (tmp_path / "tokenizer.json").write_text("nonsense")
    with pytest.raises(UserError, match="tokenizer that cannot be loaded"):
        load_tokenizer(tmp_path, "x")


def test_pad_token_of_the_tokenizer_comes_first() -> None:
    config, tokenizer = LlamaConfig(pad_token_id=7), tiny_tokenizer(bert=True)
    ensure_pad_token(config, tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id == 3


def test_pad_token_of_the_configuration_comes_second() -> None:
    config, tokenizer = LlamaConfig(pad_token_id=7), tiny_tokenizer()
    ensure_pad_token(config, tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id == 7


def test_pad_token_is_found_where_there_is_none() -> None:
    config, tokenizer = LlamaConfig(), tiny_tokenizer()
    config.pad_token_id = None
    ensure_pad_token(config, tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id == tokenizer.convert_tokens_to_ids("[PAD]")


def test_neither_peft_nor_accelerate_is_imported_for_an_adapter(tmp_path: Path) -> None:
    checkpoint = adapter(tmp_path)
    code = (
        "import sys\n"
        "for name in ('peft', 'accelerate'): sys.modules[name] = None\n"  # importing it would fail
        "from pathlib import Path\n"
        "from classifier_artifacts.folder import open_folder\n"
        f"open_folder(Path({str(checkpoint)!r}), Path({str(tmp_path / 'base')!r})).load_model()\n"
        "print('loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.stdout.strip().endswith("loaded"), done.stderr


def environment() -> dict[str, str]:
    import classifier_artifacts

    source = str(Path(classifier_artifacts.__file__).parent.parent)
    return {"PYTHONPATH": source, "PATH": "/usr/bin:/bin", "HOME": "/tmp", "OMP_NUM_THREADS": "1"}
