"""The two methods: what is trained, and how often a checkpoint is written."""

from __future__ import annotations

from classifier_trainer import stages
from classifier_trainer.checkpoints import Writer
from classifier_trainer.compute import Compute, linear_algebra
from classifier_trainer.config import RunConfig
from classifier_trainer.data.batches import updates
from classifier_trainer.model.closed_form import Array
from classifier_trainer.model.features import set_head
from classifier_trainer.model.lora import add_adapter, prepared_for_training, save_adapter
from classifier_trainer.model.start import closed_form_head
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.run_json import METRICS
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.stages import Prepared
from classifier_trainer.train.head_only import fit_head
from classifier_trainer.train.loop import Step, train


def train_lora(
    config: RunConfig, prepared: Prepared, compute: Compute, writer: Writer, tracker: Tracker
) -> dict[str, float]:
    """Adapters and the head, from a head in closed form; a checkpoint an epoch."""
    backbone, chosen = prepared.backbone, config.hyperparameters
    used = stages.settings(config, backbone)
    _start_head(prepared, used.seed, tracker)
    targets = chosen.lora.target_modules
    adapted = add_adapter(
        backbone,
        rank=chosen.lora.rank,
        alpha=chosen.lora.alpha,
        dropout=chosen.lora.dropout,
        target_modules=None if targets == "AllLinear" else targets,
    )
    lengths = [len(row) for row in prepared.train_ids]
    tracker.phase("Training", f"training on {len(lengths)} rows, epoch 1 of {used.epochs}")
    metrics: dict[str, float] = {}
    with MetricsLog(writer.output / METRICS) as log, prepared_for_training(adapted, compute, max(lengths)):
        for step in train(
            adapted.model,
            adapted.adapter_parameters,
            adapted.head_parameters,
            prepared.train_ids,
            prepared.targets,
            exclusive=prepared.exclusive,
            pad=prepared.pad,
            updates_of=lambda epoch: updates(lengths, chosen.batch_size, used.seed, epoch),
            compute=compute,
            settings=used,
        ):
            report(step, used.epochs, log, tracker)
            if not step.last_of_epoch:
                continue
            name, last = f"epoch-{step.epoch}", step.epoch == used.epochs
            tracker.phase("Testing", f"writing and testing {name}")
            metrics = writer.write(
                name,
                step.step,
                lambda folder: save_adapter(adapted, folder, backbone.uri),
                final=last,
            )
            tracker.say(scores_line(name, metrics))
            if not last:
                tracker.phase("Training", f"epoch {step.epoch + 1} of {used.epochs}")
    return metrics


def train_head_only(
    config: RunConfig, prepared: Prepared, _compute: Compute, writer: Writer, tracker: Tracker
) -> dict[str, float]:
    """The head on features that were computed once."""
    backbone, seed = prepared.backbone, config.hyperparameters.seed
    with_bias = backbone.head.bias is not None
    tracker.phase("Training", f"fitting the head on {len(prepared.start_features)} rows")

    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        head, _ = closed_form_head(features, targets, exclusive=prepared.exclusive, with_bias=with_bias, seed=seed)
        return head.weight, head.bias

    with linear_algebra(backbone.head.in_features):
        weight, bias, penalty = fit_head(
            prepared.start_features,
            prepared.targets,
            exclusive=prepared.exclusive,
            with_bias=with_bias,
            start=start,
            fold_of=stages.folds(prepared, seed),
        )
    set_head(backbone.head, weight, bias)
    tracker.say(f"head fitted, penalty {penalty:g}")
    tracker.phase("Testing", "writing and testing epoch-1")
    metrics = writer.write("epoch-1", 1, writer.save_full, final=True)
    tracker.say(scores_line("epoch-1", metrics))
    return metrics


def _start_head(prepared: Prepared, seed: int, tracker: Tracker) -> None:
    tracker.phase("Preparing", "starting the head from a closed form")
    backbone = prepared.backbone
    with linear_algebra(backbone.head.in_features):
        head, loss = closed_form_head(
            prepared.start_features,
            prepared.targets[prepared.start_rows],
            exclusive=prepared.exclusive,
            with_bias=backbone.head.bias is not None,
            seed=seed,
        )
    set_head(backbone.head, head.weight, head.bias)
    tracker.say(f"the head starts with a log loss of {loss:.3f} out of fold")


def report(step: Step, epochs: int, log: MetricsLog, tracker: Tracker) -> None:
    log.write(
        {
            "step": step.step,
            "epoch": step.epoch,
            "loss": round(step.loss, 6),
            "learningRate": step.learning_rate,
            "gradNorm": round(step.grad_norm, 6),
            "tokensPerSecond": round(step.tokens / step.seconds, 1),
        }
    )
    tracker.trained(
        f"epoch {step.epoch} of {epochs}, loss {step.loss:.3f}",
        epoch=step.epoch,
        epochs=epochs,
        step=step.step,
        steps=step.steps,
        loss=round(step.loss, 4),
        samplesPerSecond=round(step.rows / step.seconds, 1),
        tokensPerSecond=round(step.tokens / step.seconds, 1),
    )
    tracker.advance(stages.TRAINING_UNITS * step.tokens)


def scores_line(name: str, metrics: dict[str, float]) -> str:
    """A checkpoint's scores for the log and the status."""
    if not metrics:
        return name
    text = f"{name}: accuracy {metrics['accuracy']:.4f}, macro-F1 {metrics['macroF1']:.4f}"
    return text + (f", TF-IDF + linear SVM {metrics['baselineAccuracy']:.4f}" if "baselineAccuracy" in metrics else "")
