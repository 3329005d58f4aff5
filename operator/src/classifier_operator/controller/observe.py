"""Reads all that a decision depends on from the stores; no I/O."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import ValidationError

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.controller.keys import Key
from classifier_operator.controller.state import State
from classifier_operator.controller.views import (
    app_view,
    claim_view,
    controlled_by,
    job_view,
    pod_view,
    service_view,
    slice_view,
)
from classifier_operator.errors import SpecError
from classifier_operator.kube.cache import controller_of
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    BATCH_JOBS,
    CLAIMS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    PODS,
    SERVICES,
    TRAINING_JOBS,
)
from classifier_operator.plan.output import made_claim
from classifier_operator.plan.types import DeploymentObserved, PodView, Problem, TrainingObserved
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.progress import ProgressReport
from classifier_operator.wire.serve_config import ServeConfig


def parse_training_job(value: Json) -> ClassifierTrainingJob:
    """The object as a model.

    Raises:
        SpecError: the stored object does not fit the schema (it is from before a change of it).
    """
    try:
        return ClassifierTrainingJob.from_json_object(value)
    except ValidationError as error:
        raise _misfit(error) from error


def parse_deployment(value: Json) -> ClassifierDeployment:
    """The object as a model. Raises SpecError as `parse_training_job`."""
    try:
        return ClassifierDeployment.from_json_object(value)
    except ValidationError as error:
        raise _misfit(error) from error


def _misfit(error: ValidationError) -> SpecError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return SpecError("InvalidSpec", f"{where}: {first['msg']}; apply the object again as its schema wants it")


def observe_training(
    state: State,
    key: Key,
    value: Json,
    *,
    now: datetime,
    said: tuple[str, ProgressReport] | None,
    problem: Problem | None = None,
) -> TrainingObserved:
    """What a decision about this training job depends on. Raises SpecError."""
    job = parse_training_job(value)
    uid = job.metadata.uid
    child = next((each for each in state.children(BATCH_JOBS, key) if controlled_by(each, uid)), None)
    pods: tuple[PodView, ...] = ()
    if child is not None:
        owned = (each for each in state.children(PODS, key) if controlled_by(each, child["metadata"]["uid"]))
        pods = _by_age(owned)
    if said is not None and all(pod.uid != said[0] for pod in pods):
        said = None  # by a pod of an earlier object of this name
    made = made_claim(job)
    claim = state[CLAIMS].get(key.namespace, made) if made else None
    service = state[SERVICES].get(key.namespace, names.job_name(key.name, uid))
    reference = job.spec.base_model.checkpoint
    base = state[TRAINING_JOBS].get(key.namespace, reference.training_job_name) if reference else None
    return TrainingObserved(
        job=job,
        now=now,
        child=job_view(child) if child else None,
        pods=pods,
        claim=claim_view(claim) if claim is not None and is_our_claim(claim, job) else None,
        has_service=service is not None and controlled_by(service, uid),
        base_job=parse_training_job(base) if base else None,
        report=said[1] if said else None,
        report_pod=said[0] if said else None,
        named_by=_named_by(state, key),
        problem=problem,
    )


def _named_by(state: State, key: Key) -> str | None:
    """Who needs this job to stay: a deployment, or a training job that starts from it and has not ended."""
    unfinished = (each for each in state.training_jobs_naming(key) if not _has_ended(each))
    return next((each["metadata"]["name"] for each in (*state.deployments_naming(key), *unfinished)), None)


def _has_ended(value: Json) -> bool:
    conditions = (value.get("status") or {}).get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def is_our_claim(claim: Json, job: ClassifierTrainingJob) -> bool:
    """Whether a claim was made for a job of this name and may hold this one's output.

    It outlives its job, so that the same job applied again finds its result; then it has no controller.
    """
    labels = claim["metadata"].get("labels") or {}
    wanted: Mapping[str, str] = names.trainer_labels(job.metadata.name)
    owner = controller_of(claim)
    return all(labels.get(name) == text for name, text in wanted.items()) and (
        owner is None or owner.get("uid") == job.metadata.uid
    )


def observe_deployment(
    state: State,
    key: Key,
    deployment: ClassifierDeployment,
    *,
    now: datetime,
    answers: bool | None,
    problem: Problem | None = None,
) -> DeploymentObserved:
    """What the stores know of all that a decision about this deployment depends on. Raises SpecError."""
    uid = deployment.metadata.uid
    app = state[APP_DEPLOYMENTS].get(key.namespace, names.deployment_name(key.name))
    service = state[SERVICES].get(key.namespace, names.service_name(key.name))
    budget = state[DISRUPTION_BUDGETS].get(key.namespace, names.deployment_name(key.name))
    app = app if app is not None and controlled_by(app, uid) else None
    service = service if service is not None and controlled_by(service, uid) else None
    reference = deployment.spec.model.checkpoint
    job = state[TRAINING_JOBS].get(key.namespace, reference.training_job_name) if reference else None
    slices = state.children(ENDPOINT_SLICES, key)
    endpoints = 0
    for each in slices:
        if service is not None and controlled_by(each, service["metadata"]["uid"]):
            endpoints += each["ready"]
    return DeploymentObserved(
        deployment=deployment,
        now=now,
        training_job=parse_training_job(job) if job else None,
        app=app_view(app) if app else None,
        service=service_view(service) if service else None,
        pods=server_pods(state, key),
        served=_served(app),
        ready_endpoints=endpoints,
        answers=answers,
        slice=slice_view([each for each in slices if controlled_by(each, uid)]),
        has_disruption_budget=budget is not None and controlled_by(budget, uid),
        problem=problem,
    )


def server_pods(state: State, key: Key) -> tuple[PodView, ...]:
    """The pods of a deployment, oldest first."""
    return _by_age(state.children(PODS, key))


def _by_age(pods: Iterable[Json]) -> tuple[PodView, ...]:
    views = (pod_view(each) for each in pods)
    return tuple(sorted(views, key=lambda pod: (pod.created, pod.name)))


def _served(app: Json | None) -> ServeConfig | None:
    text = app.get("serveConfig") if app else None
    if not text:
        return None
    try:
        return ServeConfig.decode(text)
    except WireError:
        return None
