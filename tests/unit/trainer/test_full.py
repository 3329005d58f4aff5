"""Every weight trained: in fp32, from the same start, on every kind of backbone, and saved as a plain folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from classifier_trainer import ready, stages
from classifier_trainer.batching import padded_forward
from classifier_trainer.compute import Compute
from classifier_trainer.config import parse
from classifier_trainer.model.full import train_all
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.lora import add_adapter
from classifier_trainer.model.packed import is_exact, packed_attention, packed_forward
from classifier_trainer.model.trained import Trained, prepared_for_training
from classifier_trainer.prepare import prepare
from classifier_trainer.progress.tracker import Tracker
from support.tiny_models import Kind, multiclass, tiny_folder
from support.tiny_training import budget, tiny_loop

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

CPU = Compute(torch.device("cpu"), torch.float32)
DECODERS: tuple[Kind, ...] = ("qwen3", "llama", "smollm2", "mistral", "gemma", "gemma3")
KINDS: tuple[Kind, ...] = (*DECODERS, "bert", "minilm", "modernbert", "roberta")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A base model of each kind."""
    root = tmp_path_factory.mktemp("base")
    return {kind: tiny_folder(root / kind, kind) for kind in KINDS}


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Backbone:
    torch.manual_seed(1)
    return load_backbone(folder, "pvc://m/x", task="Multiclass", labels=["a", "b", "c"], max_length=None, dtype=dtype)


def train_a_little(trained: Trained, compute: Compute = CPU) -> list[float]:
    with prepared_for_training(trained, compute, 20):
        loop = tiny_loop(trained.model, budget(200), body=trained.body, head=trained.head)
        return [step.loss for step in loop]


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_trained_and_saved(tmp_path: Path, folders: dict[Kind, Path], kind: Kind) -> None:
    backbone = load(folders[kind])
    trained = train_all(backbone)
    before = {name: part.detach().clone() for name, part in trained.model.named_parameters()}
    assert {*trained.body, *trained.head} == before.keys()
    assert not {*trained.body} & {*trained.head}
    assert f"{backbone.head_name}.weight" in trained.head
    assert all(part.requires_grad and part.dtype == torch.float32 for part in trained.parameters())
    losses = train_a_little(trained)
    assert losses[-1] < losses[0]
    after = dict(trained.model.named_parameters())
    assert [name for name, part in before.items() if torch.equal(part, after[name])] == []

    trained.save(tmp_path, None)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path, config=backbone.model.config)
    rows = [[5, 6, 7, 8], [9, 10, 11]]
    logits = []
    for model in (backbone.model, again):
        model.eval()
        with torch.no_grad():
            logits.append(padded_forward(model, 3, CPU.device)(rows))
    torch.testing.assert_close(logits[0], logits[1])


def test_saved_in_the_format_of_the_base_but_for_what_is_new(tmp_path: Path, folders: dict[Kind, Path]) -> None:
    from safetensors.torch import load_file

    base = tiny_folder(tmp_path / "base", "mistral", dtype=torch.bfloat16)
    backbone = load(base)
    trained = train_all(backbone)
    trained.save(tmp_path / "out", None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert {name: str(value.dtype) for name, value in found.items() if value.dtype != torch.bfloat16} == {
        "score.weight": "torch.float32"
    }
    # In training nothing is rounded.
    assert all(part.dtype == torch.float32 for part in backbone.model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_computing_activations_twice_changes_nothing(folders: dict[Kind, Path], kind: Kind) -> None:
    losses, calls = [], []
    for saves in (False, True):
        trained = train_all(load(folders[kind]))
        seen: list[int] = []
        layers = max((part for part in trained.inner.modules() if isinstance(part, torch.nn.ModuleList)), key=len)
        inside = next(part for part in layers[1].modules() if isinstance(part, torch.nn.Linear))
        inside.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        loop = tiny_loop(
            trained.model,
            budget(200),
            body=trained.body,
            head=trained.head,
            save_memory=trained.checkpoint_activations,
        )
        if saves:
            loop._save_memory()
        losses.append([step.loss for step in loop])
        calls.append(len(seen))
    assert calls[1] == 2 * calls[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("method", ["LoRA", "Full"])
@pytest.mark.parametrize("kind", DECODERS)
def test_packed_rows_are_single_rows(folders: dict[Kind, Path], kind: Kind, method: str) -> None:
    backbone = load(folders[kind])
    if method == "Full":
        trained = train_all(backbone)
    else:
        trained = add_adapter(backbone, rank=4, alpha=8, dropout=0, target_modules=None)
        with torch.no_grad():  # adapters begin at zero
            for part in trained.parameters():
                part.add_(0.05 * torch.randn_like(part))
    assert is_exact(trained, CPU, pad=3, longest=60)
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randint(4, 400, (size,), generator=generator).tolist() for size in (1, 9, 30, 2, 17)]
    single = padded_forward(trained.model, 3, CPU.device)
    wanted = torch.cat([single([row]) for row in rows])
    parameters = trained.parameters()
    slopes = torch.autograd.grad(wanted.square().sum(), parameters)
    with packed_attention(trained):
        found = packed_forward(trained, CPU)(rows)
        others = torch.autograd.grad(found.square().sum(), parameters)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for one, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    # Afterwards the model is called as before.
    torch.testing.assert_close(torch.cat([single([row]) for row in rows]), wanted)


@pytest.mark.parametrize("method", ["LoRA", "Full"])
@pytest.mark.parametrize("kind", ["bert", "minilm", "roberta", "modernbert"])
def test_encoders_are_not_packed(folders: dict[Kind, Path], kind: Kind, method: str) -> None:
    backbone = load(folders[kind])
    if method == "Full":
        trained = train_all(backbone)
    else:
        trained = add_adapter(backbone, rank=4, alpha=8, dropout=0, target_modules=None)
    assert not is_exact(trained, CPU, pad=3, longest=60)


class Packing(Compute):
    """A CPU that packs all the same."""

    @property
    def packs(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["qwen3", "gemma3", "bert"])
def test_packed_updates_are_padded_ones(tmp_path: Path, folders: dict[Kind, Path], kind: Kind) -> None:
    train = multiclass(tmp_path / "train.jsonl", 60)
    config = parse(
        {
            "baseModel": {"uri": f"file://{folders[kind]}"},
            "trainDataset": {"uri": f"file://{train}"},
            "hyperparameters": {"epochs": 2, "template": "{prompt}", "precision": "Float32"},
            "output": {"uri": str(tmp_path / "out")},
        }
    )
    losses = []
    for make in (Compute, Packing):
        compute, tracker = make(CPU.device, CPU.dtype), Tracker()
        torch.manual_seed(1)
        dataset = stages.read_data(config, tracker)
        path, backbone = stages.load_model(config, dataset, compute, tracker)
        prepared = prepare(config, dataset, path, backbone, compute, tracker, cache=tmp_path / "cache")
        with ready.ready_loop(config, dataset, prepared, compute, tracker) as (loop, _):
            assert loop._gradients.padded == (make is Compute or kind == "bert")
            loop.token_budget = 40
            losses.append([step.loss for step in loop])
    assert losses[0][-1] < losses[0][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_dropout_inside_the_attention_is_not_packed(folders: dict[Kind, Path]) -> None:
    trained = train_all(load(folders["mistral"]))
    trained.inner.config.attention_dropout = 0.1
    assert not is_exact(trained, CPU, pad=3, longest=30)
