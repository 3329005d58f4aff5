"""Carries out decisions about deployments."""

import hashlib
import json
from typing import Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.controller.apply_gateway import WakeLeases, delete_slices, slices_of
from classifier_operator.controller.gateways import GatewayFleet
from classifier_operator.controller.keys import Key
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.state import State
from classifier_operator.controller.views import controlled_by
from classifier_operator.errors import KubeError, SpecError, WaitError
from classifier_operator.kube.cache import controller_of
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    SERVICES,
    Resource,
)
from classifier_operator.kube.write import Writer
from classifier_operator.manifests.deployment import server_deployment
from classifier_operator.manifests.disruption_budget import disruption_budget
from classifier_operator.manifests.service import server_service
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyDisruptionBudget,
    ApplyOrder,
    ApplyService,
    ApplySlice,
    AskGateways,
    AskPods,
    DeleteDisruptionBudget,
    DeleteSlice,
    DeploymentAction,
    ProbeService,
    ScaleToZero,
)
from classifier_operator.pods.service import ServiceProbe
from classifier_operator.pods.stats import StatsPoller
from classifier_operator.wire.errors import WireError

_DELETING_SECONDS: Final = 2.0


class DeploymentApplier:
    """Turns each decision into a manifest and writes it, if it is not so already.

    Every method raises as those of TrainingApplier.
    """

    def __init__(
        self,
        client: KubeClient,
        writer: Writer,
        state: State,
        service_probe: ServiceProbe,
        *,
        leases: WakeLeases,
        ports: PortAllocator,
        fleet: GatewayFleet,
        stats: StatsPoller[Key],
        image: str,
    ) -> None:
        self._client = client
        self._writer = writer
        self._state = state
        self._service_probe = service_probe
        self._leases = leases
        self._ports = ports
        self._fleet = fleet
        self._stats = stats
        self._image = image
        self._applied: dict[str, dict[tuple[Resource, str], tuple[str, str]]] = {}
        self._answers: dict[str, bool] = {}

    def answers(self, uid: str) -> bool | None:
        """Whether the Service of this deployment answered when it was last asked."""
        return self._answers.get(uid)

    def forget_answer(self, uid: str) -> None:
        """The pods behind the Service are gone: it is to be asked again."""
        self._answers.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The deployment is gone."""
        self._answers.pop(uid, None)
        self._applied.pop(uid, None)

    async def apply(self, deployment: ClassifierDeployment, action: DeploymentAction) -> None:
        """Carries out one decision."""
        metadata = deployment.metadata
        key = Key(names.DEPLOYMENT_KIND, metadata.namespace, metadata.name)
        match action:
            case ApplyDeployment():
                await self._apply(deployment, APP_DEPLOYMENTS, self._deployment(deployment, action))
            case ApplyService():
                await self._apply(deployment, SERVICES, server_service(deployment))
            case ScaleToZero(uid=uid):
                name, patch = metadata.name, {"spec": {"replicas": 0}}
                await self._writer.patch(APP_DEPLOYMENTS, metadata.namespace, name, patch, uid=uid)
            case ProbeService():
                await self._probe(deployment)
            case ApplyOrder(order=order):
                await self._leases.apply(order)
            case ApplySlice(gateways=()):
                pass  # what is there may lead to one that comes back; without it there would be nobody at all
            case ApplySlice():
                manifests = slices_of(deployment, action)
                for manifest in manifests:
                    await self._apply(deployment, ENDPOINT_SLICES, manifest)
                but = frozenset(each["metadata"]["name"] for each in manifests)
                await delete_slices(self._writer, self._state, key, metadata.uid, but=but)
            case DeleteSlice():
                await delete_slices(self._writer, self._state, key, metadata.uid)
            case AskGateways():
                if (port := self._ports.port(metadata.uid)) is not None:
                    self._fleet.expect(port, metadata.uid)
            case AskPods():
                await self._stats.ask_now(key)
            case ApplyDisruptionBudget():
                await self._apply(deployment, DISRUPTION_BUDGETS, disruption_budget(deployment))
            case DeleteDisruptionBudget():
                await self._delete(deployment, DISRUPTION_BUDGETS)

    def _deployment(self, deployment: ClassifierDeployment, action: ApplyDeployment) -> Json:
        try:
            return server_deployment(
                deployment,
                replicas=action.replicas,
                model_uri=action.model_uri,
                checkpoint=action.checkpoint,
                base_model_uri=action.base_model_uri,
                image=self._image,
            )
        except WireError as error:
            raise SpecError("InvalidSpec", str(error)) from error

    async def _delete(self, deployment: ClassifierDeployment, resource: Resource) -> None:
        metadata = deployment.metadata
        current = self._state[resource].get(metadata.namespace, metadata.name)
        if current is None or not controlled_by(current, metadata.uid) or "deletionTimestamp" in current["metadata"]:
            return
        try:
            await self._writer.delete(resource, metadata.namespace, metadata.name, uid=current["metadata"]["uid"])
        except KubeError as error:
            if not error.not_found:
                raise

    async def _probe(self, deployment: ClassifierDeployment) -> None:
        metadata = deployment.metadata
        service = self._state[SERVICES].get(metadata.namespace, metadata.name)
        address = ((service or {}).get("spec") or {}).get("clusterIP")
        if not address or address == "None":
            return
        self._answers[metadata.uid] = await self._service_probe.answers(
            name=metadata.name,
            namespace=metadata.namespace,
            cluster_ip=address,
            port=deployment.spec.service.port,
        )

    async def _apply(self, deployment: ClassifierDeployment, resource: Resource, manifest: Json) -> None:
        uid, namespace, name = deployment.metadata.uid, deployment.metadata.namespace, manifest["metadata"]["name"]
        current = self._state[resource].get(namespace, name)
        if current is None:
            current = await self._look(resource, namespace, name)
        if current is not None and not controlled_by(current, uid):
            raise _taken(current, resource, name)
        applied = self._applied.setdefault(uid, {})
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        if current is not None and applied.get((resource, name)) == (digest, _marker(current)):
            return
        try:
            answer = await self._writer.apply(resource, manifest, uid=current["metadata"]["uid"] if current else None)
        except KubeError as error:
            if error.invalid:
                text = f"the API server refuses the {resource.kind}: {error.message}"
                raise SpecError("InvalidSpec", text) from error
            if error.conflict and current is None:
                raise SpecError("NameConflict", _conflict(resource, name)) from error
            raise
        applied[resource, name] = (digest, _marker(answer))

    async def _look(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """What is not in the stores may still be there: without our label it is not watched."""
        try:
            return await self._client.request("GET", resource.path(namespace, name))
        except KubeError as error:
            if error.not_found:
                return None
            raise


def _marker(value: Json) -> str:
    """What changes when somebody else writes the specification. A Service has no generation."""
    metadata = value["metadata"]
    return f"{metadata['uid']} {metadata.get('generation') or metadata['resourceVersion']}"


def _taken(current: Json, resource: Resource, name: str) -> Exception:
    owner = controller_of(current) or {}
    if owner.get("kind") == DEPLOYMENTS.kind and owner.get("name") == name:
        text = f"{resource.kind} {name} of an earlier deployment of this name is being deleted"
        return WaitError("Deleting", text, seconds=_DELETING_SECONDS)
    return SpecError("NameConflict", _conflict(resource, name))


def _conflict(resource: Resource, name: str) -> str:
    return f"{resource.kind} {name} exists and does not belong to this deployment: delete it, or take another name"
