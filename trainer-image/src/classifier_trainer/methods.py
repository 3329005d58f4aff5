"""The methods: what is trained, and when a checkpoint is written."""

from __future__ import annotations

import torch

from classifier_trainer import distributed, stages
from classifier_trainer.checkpoints import Scored, Writer
from classifier_trainer.compute import Compute, linear_algebra
from classifier_trainer.config import RunConfig, seconds
from classifier_trainer.errors import Terminated
from classifier_trainer.keeper import Keeper
from classifier_trainer.model.closed_form import Array
from classifier_trainer.model.features import set_head
from classifier_trainer.model.start import closed_form_head
from classifier_trainer.model.trained import Trained
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.run_json import METRICS
from classifier_trainer.prepare import TRAINING_UNITS, Prepared
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.ready import make_goal, ready_loop
from classifier_trainer.train import sharded, state
from classifier_trainer.train.early import Patience
from classifier_trainer.train.head_only import fit_head
from classifier_trainer.train.interrupt import deferred
from classifier_trainer.train.loop import Loop, MemoryExitError, Step


def train_in_loop(
    config: RunConfig,
    prepared: Prepared,
    compute: Compute,
    writer: Writer,
    tracker: Tracker,
    saved: state.Saved | None = None,
) -> None:
    """LoRA and Full, from a head in closed form: a checkpoint an epoch. Every rank trains, and rank 0 writes.

    Goes on from `saved`, and saves every `stateEvery`, at the end of each epoch before it is tested, and on SIGTERM.
    """
    with ready_loop(config, writer.dataset, prepared, compute, tracker, goes_on=saved is not None) as (loop, trained):
        folder = writer.output / state.FOLDER
        loop.token_budget = min(loop.token_budget, state.token_budget(folder) or loop.token_budget)
        facts = {"digest": config.digest(), "labels": writer.dataset.labels, "template": prepared.template}
        keeper = Keeper(writer.store, loop, tracker, facts, every=seconds(config.hyperparameters.state_every))
        if saved is not None:
            keeper.go_on_from(saved, [one.name for one in writer.written])
            tracker.say(f"going on after update {loop.done} of {loop.steps}")
        training = _Training(loop, keeper, writer, trained, tracker, _patience(config))
        try:
            training.run()
        except Terminated:
            training.report()
            keeper.save()
            raise
        except MemoryExitError as error:
            state.save_token_budget(folder, error.token_budget)
            raise


class _Training:
    """The epochs of a run, each with its checkpoint."""

    def __init__(
        self,
        loop: Loop,
        keeper: Keeper,
        writer: Writer,
        trained: Trained,
        tracker: Tracker,
        patience: Patience,
    ) -> None:
        self._loop, self._keeper, self._writer, self._trained = loop, keeper, writer, trained
        self._tracker, self._epochs, self._patience = tracker, loop.steps // loop.updates_an_epoch, patience
        self._reported: Step | None = None

    def run(self) -> None:
        """Trains to the last epoch, or until patience is over."""
        loop = self._loop
        epoch, rest = divmod(loop.done, loop.updates_an_epoch)
        if self._judge_again(epoch if rest == 0 else 0):
            return
        self._tracker.phase("Training", f"epoch {epoch + 1} of {self._epochs}")
        for step in loop:
            self.report()
            if not step.last_of_epoch:
                self._keeper.save_if_due()
                continue
            # A pod that is killed while it tests goes on with the test, and trains nothing again.
            self._keeper.save()
            if self._write(step.epoch) or step.epoch == self._epochs:
                return
            self._tracker.phase("Training", f"epoch {step.epoch + 1} of {self._epochs}")

    def report(self) -> None:
        """Says what the last update did, unless that was said: SIGTERM may come between the two."""
        step = self._loop.last
        if step is None or step is self._reported:
            return
        with deferred():
            self._reported = step
            if distributed.is_main():
                with MetricsLog(self._writer.output / METRICS) as log:
                    report(step, self._epochs, log, self._tracker)

    def _judge_again(self, trained: int) -> bool:
        """Hears the scores of the checkpoints that there are, and writes that of epoch `trained` if it is missing."""
        over = False
        told = {entry["name"] for entry in self._tracker.document()["checkpoints"]}
        for scored in self._writer.written:
            over = self._is_over(scored)
            if scored.name not in told:  # the last one, if the run was killed just then
                self._tracker.checkpoint(self._writer.entry(scored), best=self._writer.best.name)
        if trained and not any(one.epoch == trained for one in self._writer.written):
            over = self._write(trained)
        return distributed.broadcast_object(over) or trained == self._epochs

    def _write(self, epoch: int) -> bool:
        """Writes and tests the checkpoint of an epoch, on rank 0; whether training is over with it. Together."""
        name = f"epoch-{epoch}"
        weights = _whole(self._trained) if self._loop.sharded else None
        over = False
        if distributed.is_main():
            self._tracker.phase("Testing", f"writing and testing {name}")
            scored = self._writer.write(
                name, self._loop.done, lambda folder: self._trained.save(folder, weights), epoch=epoch
            )
            self._tracker.say(scores_line(scored))
            over = self._is_over(scored)
            self._keeper.save_record()
        return distributed.broadcast_object(over)

    def _is_over(self, scored: Scored) -> bool:
        return scored.selection is not None and self._patience.is_over(scored.selection)


def train_head_only(config: RunConfig, prepared: Prepared, writer: Writer, tracker: Tracker) -> None:
    """The head on features that were computed once."""
    backbone, seed = prepared.backbone, config.hyperparameters.seed
    with_bias = backbone.head.bias is not None
    goal = make_goal(config, writer.dataset, prepared)
    tracker.phase("Training", f"fitting the head on {len(prepared.start_features)} rows")

    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        head, _ = closed_form_head(
            features, targets, exclusive=prepared.exclusive, with_bias=with_bias, seed=seed, offset=goal.offset
        )
        return head.weight, head.bias

    with linear_algebra(backbone.head.in_features), tracker.timed("head_seconds"):
        weight, bias, penalty = fit_head(
            prepared.start_features, goal, with_bias=with_bias, start=start, fold_of=stages.folds(prepared, seed)
        )
    set_head(backbone.head, weight, bias)
    tracker.say(f"head fitted, penalty {penalty:g}")
    tracker.phase("Testing", "writing and testing epoch-1")
    tracker.say(scores_line(writer.write("epoch-1", 1, writer.save_full)))


def report(step: Step, epochs: int, log: MetricsLog, tracker: Tracker) -> None:
    """Says what an update did, to metrics.jsonl and to the progress."""
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
    tracker.advance("training", TRAINING_UNITS * step.tokens)


def scores_line(scored: Scored) -> str:
    """A checkpoint's scores for the log and the status."""
    metrics = scored.metrics or scored.validation
    if not metrics:
        return scored.name
    text = f"{scored.name}: accuracy {metrics['accuracy']:.4f}, macro-F1 {metrics['macroF1']:.4f}"
    return text + (f", TF-IDF + linear SVM {metrics['baselineAccuracy']:.4f}" if "baselineAccuracy" in metrics else "")


def _whole(trained: Trained) -> dict[str, torch.Tensor]:
    """What a checkpoint of a sharded model holds, put together on rank 0; together."""
    frozen = {name for name, parameter in trained.model.named_parameters() if not parameter.requires_grad}
    return sharded.whole({name: part for name, part in trained.model.state_dict().items() if name not in frozen})


def _patience(config: RunConfig) -> Patience:
    early = config.hyperparameters.early_stopping
    return Patience(early.patience if early else None)
