"""Decisions about a training job from a situation, for tables of tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.plan.training import plan_training
from classifier_operator.plan.types import ClaimView, JobView, PodView, Problem, TrainingObserved, TrainingPlan
from classifier_operator.wire.progress import ProgressReport
from support.builders import NOW, UID, training_job

JOB = names.job_name("news", UID)
CLAIM = ClaimView("news-output")


def report(phase: str = "Training", message: str = "epoch 1 of 3, loss 0.5", **more: Any) -> ProgressReport:
    return ProgressReport.decode(json.dumps({"version": "v1alpha1", "phase": phase, "message": message, **more}))


def plan(
    *,
    child: JobView | None = None,
    pods: tuple[PodView, ...] = (),
    status: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    said: ProgressReport | None = None,
    claim: ClaimView | None = CLAIM,
    named_by: str | None = None,
    problem: Problem | None = None,
    base_job: ClassifierTrainingJob | None = None,
    has_service: bool = False,
    **spec: Any,
) -> TrainingPlan:
    return plan_training(
        TrainingObserved(
            job=training_job(status=status, metadata=metadata, **spec),
            now=NOW,
            child=child,
            pods=pods,
            claim=claim,
            report=said,
            report_pod=pods[-1].uid if said and pods else None,
            named_by=named_by,
            problem=problem,
            base_job=base_job,
            has_service=has_service,
        )
    )


def verdicts(decided: TrainingPlan) -> dict[str, str]:
    """Conditions that are True, with their reasons."""
    return {each.type: each.reason for each in decided.status.conditions or () if each.status == "True"}


@dataclass(frozen=True)
class Row:
    name: str
    given: dict[str, Any]
    actions: tuple[Any, ...] = ()
    phase: str | None = None
    true: dict[str, str] = field(default_factory=dict)
    says: str | None = None
    again: float | None = None
