"""Builders of observed values and objects for the tests of the operator."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.plan.types import JobView, PodView

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
Manifest = dict[str, Any]


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def training_job_manifest(name: str = "news", **spec: Any) -> Manifest:
    """A training job as a user applies it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.TRAINING_JOB_KIND,
        "metadata": {"name": name},
        "spec": {"baseModel": {"uri": "file:///model"}, "trainDataset": {"uri": "file:///train.jsonl"}, **spec},
    }


def deployment_manifest(name: str = "news", **spec: Any) -> Manifest:
    """A deployment as a user applies it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.DEPLOYMENT_KIND,
        "metadata": {"name": name},
        "spec": {"model": {"uri": "file:///model"}, **spec},
    }


def _stored(manifest: Manifest, metadata: Manifest | None, status: Manifest | None) -> Manifest:
    full = {
        "namespace": "default",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": "2026-03-01T11:00:00Z",
    }
    return {**manifest, "metadata": {**full, **manifest["metadata"], **(metadata or {})}, "status": status or {}}


def training_job(
    name: str = "news", *, metadata: Manifest | None = None, status: Manifest | None = None, **spec: Any
) -> ClassifierTrainingJob:
    """A training job as the operator reads it."""
    return ClassifierTrainingJob.from_json_object(_stored(training_job_manifest(name, **spec), metadata, status))


def deployment(
    name: str = "news", *, metadata: Manifest | None = None, status: Manifest | None = None, **spec: Any
) -> ClassifierDeployment:
    """A deployment as the operator reads it."""
    return ClassifierDeployment.from_json_object(_stored(deployment_manifest(name, **spec), metadata, status))


def condition(kind: str, holds: bool, reason: str = "Because", **more: Any) -> Manifest:
    status = "True" if holds else "False"
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-03-01T11:30:00Z", **more}


def job_view(**changes: Any) -> JobView:
    """A batch Job that runs."""
    view = JobView(name=names.job_name("news", UID), uid="job-uid", start_time=ago(60), active=1)
    return dataclasses.replace(view, **changes)


def pod_view(**changes: Any) -> PodView:
    """A pod that runs."""
    view = PodView(
        name="news-1", uid="pod-uid", created=ago(60), phase="Running", ip="10.0.0.7", ready=True, started_at=ago(50)
    )
    return dataclasses.replace(view, **changes)


def ended_pod(code: int, words: str = "", **changes: Any) -> PodView:
    """A pod whose container ended."""
    phase = "Succeeded" if code == 0 else "Failed"
    return pod_view(phase=phase, ready=False, exit_code=code, last_words=words, ip=None, **changes)
