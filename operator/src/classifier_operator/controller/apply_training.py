"""Carries out decisions about training jobs."""

from typing import Final

from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.controller.inputs import Inputs
from classifier_operator.controller.observe import is_our_claim
from classifier_operator.controller.state import State
from classifier_operator.controller.views import controlled_by
from classifier_operator.errors import KubeError, SpecError, WaitError
from classifier_operator.kube.client import KubeClient
from classifier_operator.kube.resources import BATCH_JOBS, CLAIMS, SERVICES, TRAINING_JOBS, Resource
from classifier_operator.kube.write import Writer
from classifier_operator.manifests.claim import output_claim
from classifier_operator.manifests.job import training_job, training_mounts
from classifier_operator.manifests.rendezvous import headless_service
from classifier_operator.plan.types import (
    CreateClaim,
    CreateJob,
    CreateService,
    DeleteJob,
    DeleteTrainingJob,
    SuspendJob,
    TrainingAction,
)
from classifier_operator.wire.errors import WireError

_DELETING_SECONDS: Final = 2.0


class TrainingApplier:
    """Turns each decision into a manifest and writes it.

    Every method raises SpecError where the user must mend something, WaitError where something has to happen first,
    and KubeError where the API server fails.
    """

    def __init__(self, client: KubeClient, writer: Writer, state: State, inputs: Inputs, *, image: str) -> None:
        self._client = client
        self._writer = writer
        self._state = state
        self._inputs = inputs
        self._image = image

    async def apply(self, job: ClassifierTrainingJob, action: TrainingAction) -> None:
        """Carries out one decision."""
        namespace = job.metadata.namespace
        match action:
            case CreateClaim(name=name):
                await self._create_claim(job, name)
            case CreateService(name=name):
                await self._create_service(job, name)
            case CreateJob():
                await self._create_job(job, action)
            case SuspendJob(name=name, uid=uid, suspended=suspended):
                await self._writer.patch(BATCH_JOBS, namespace, name, {"spec": {"suspend": suspended}}, uid=uid)
            case DeleteJob(name=name, uid=uid):
                await self._delete(BATCH_JOBS, namespace, name, uid)
            case DeleteTrainingJob():
                metadata = job.metadata
                await self._delete(TRAINING_JOBS, namespace, metadata.name, metadata.uid, metadata.resource_version)

    async def _create_claim(self, job: ClassifierTrainingJob, name: str) -> None:
        try:
            await self._writer.create(CLAIMS, output_claim(job, name=name))
        except KubeError as error:
            if error.invalid:
                raise SpecError("InvalidClaim", f"output.claim: {error.message}", final=True) from error
            if not error.already_exists:
                raise
            found = await self._client.request("GET", CLAIMS.path(job.metadata.namespace, name))
            if not is_our_claim(found, job):
                raise _conflict("PersistentVolumeClaim", name, "write output.claim.name to use it") from error
            self._state[CLAIMS].put(found)
        claim = self._state[CLAIMS].get(job.metadata.namespace, name)
        if claim is not None and "deletionTimestamp" in claim["metadata"]:
            text = f"PersistentVolumeClaim {name} of an earlier job is being deleted"
            raise WaitError("ClaimDeleting", text, seconds=_DELETING_SECONDS)

    async def _create_service(self, job: ClassifierTrainingJob, name: str) -> None:
        try:
            await self._writer.create(SERVICES, headless_service(job, name=name))
        except KubeError as error:
            if not error.already_exists:
                raise
            found = await self._client.request("GET", SERVICES.path(job.metadata.namespace, name))
            if not controlled_by(found, job.metadata.uid):
                raise _conflict("Service", name, "delete it, and training starts") from error
            self._state[SERVICES].put(found)

    async def _create_job(self, job: ClassifierTrainingJob, action: CreateJob) -> None:
        try:
            manifest = training_job(
                job,
                name=action.name,
                output_uri=action.output_uri,
                base_model=action.base_model,
                suspended=action.suspended,
                image=self._image,
            )
        except WireError as error:
            raise SpecError("InvalidSpec", str(error), final=True) from error
        mounts = training_mounts(job, output_uri=action.output_uri, base_model=action.base_model)
        await self._inputs.check(job, mounts)
        if not await self._may_create(job):
            return
        try:
            await self._writer.create(BATCH_JOBS, manifest)
        except KubeError as error:
            if error.invalid:
                text = f"the API server refuses the Job: {error.message}"
                raise SpecError("InvalidSpec", text, final=True) from error
            if not error.already_exists:
                raise
            found = await self._client.request("GET", BATCH_JOBS.path(job.metadata.namespace, action.name))
            if not controlled_by(found, job.metadata.uid):
                raise _conflict("Job", action.name, "delete it, and training starts") from error
            self._state[BATCH_JOBS].put(found)

    async def _may_create(self, job: ClassifierTrainingJob) -> bool:
        """A last look at the live object: it must be the same, not on its way out, and not done."""
        metadata = job.metadata
        try:
            live = await self._client.request("GET", TRAINING_JOBS.path(metadata.namespace, metadata.name))
        except KubeError as error:
            if error.not_found:
                return False
            raise
        self._state[TRAINING_JOBS].put(live)
        done = any(
            each.get("type") in ("Complete", "Failed") and each.get("status") == "True"
            for each in (live.get("status") or {}).get("conditions") or ()
        )
        return live["metadata"]["uid"] == metadata.uid and "deletionTimestamp" not in live["metadata"] and not done

    async def _delete(
        self, resource: Resource, namespace: str, name: str, uid: str, version: str | None = None
    ) -> None:
        try:
            await self._writer.delete(resource, namespace, name, uid=uid, version=version)
        except KubeError as error:
            if not error.not_found:
                raise


def _conflict(kind: str, name: str, way_out: str) -> SpecError:
    text = f"{kind} {name} exists and does not belong to this job: {way_out}, or take another name"
    return SpecError("NameConflict", text)
