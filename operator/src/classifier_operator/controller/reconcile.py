"""Observe, plan, apply, status: the one way through, for one key at a time."""

from classifier_operator.api import names
from classifier_operator.controller.cycle import Cycle
from classifier_operator.controller.keys import Key
from classifier_operator.controller.reconcile_deployment import DeploymentReconciler
from classifier_operator.controller.reconcile_training import TrainingReconciler
from classifier_operator.controller.state import State
from classifier_operator.errors import SpecError
from classifier_operator.kube.resources import DEPLOYMENTS, TRAINING_JOBS


class Reconciler:
    """Brings one object nearer to what it says. Raises KubeError where it is to be tried again."""

    def __init__(
        self, cycle: Cycle, state: State, *, training: TrainingReconciler, deployments: DeploymentReconciler
    ) -> None:
        self._cycle = cycle
        self._state = state
        self._training = training
        self._deployments = deployments
        self._uids: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> None:
        """One pass over one object."""
        resource = TRAINING_JOBS if key.kind == names.TRAINING_JOB_KIND else DEPLOYMENTS
        value = self._state[resource].get(key.namespace, key.name)
        known = self._uids.get(key)
        if known is not None and (value is None or known != value["metadata"]["uid"]):
            self._forget(key, known)
        if value is None:
            return
        self._uids[key] = value["metadata"]["uid"]
        try:
            if resource is TRAINING_JOBS:
                await self._training.reconcile(key, value)
            else:
                await self._deployments.reconcile(key, value)
        except SpecError as error:  # the object itself cannot be read: there is no plan to put it into
            await self._cycle.write_misfit(resource, key, value, error)

    def _forget(self, key: Key, uid: str) -> None:
        del self._uids[key]
        if key.kind == names.TRAINING_JOB_KIND:
            self._training.forget(key)
        else:
            self._deployments.forget(key, uid)
