"""The only state across objects: the stores, rebuilt from the API server at every start."""

from collections.abc import Callable

from classifier_operator.api import names
from classifier_operator.controller.keys import Key
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.kube import trim
from classifier_operator.kube.cache import Store
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import CHILDREN, DEPLOYMENTS, LEASES, OWN_KINDS, TRAINING_JOBS, Resource

_KIND_OF = {TRAINING_JOBS: names.TRAINING_JOB_KIND, DEPLOYMENTS: names.DEPLOYMENT_KIND}
_LABELS = {
    names.TRAINING_JOB_LABEL: names.TRAINING_JOB_KIND,
    names.DEPLOYMENT_LABEL: names.DEPLOYMENT_KIND,
}


class State:
    """All stores; every change in one of them wants the objects reconciled that depend on it."""

    def __init__(self, enqueue: Callable[[Key], None], ports: PortAllocator) -> None:
        self._enqueue = enqueue
        self._ports = ports
        self._muted: Key | None = None
        self._stores = {
            resource: Store(resource, self._trimmer(resource), _index(resource), self._changed)
            for resource in (*OWN_KINDS, *CHILDREN, LEASES)
        }

    def __getitem__(self, resource: Resource) -> Store:
        return self._stores[resource]

    def find(self, resource: Resource) -> Store | None:
        """The store of a resource, if it has one."""
        return self._stores.get(resource)

    async def wait_until_complete(self) -> None:
        """Returns when every resource has been listed."""
        for store in self._stores.values():
            await store.complete.wait()

    def put_own_status(self, resource: Resource, key: Key, value: Json) -> None:
        """Takes in what a write of the status of `key` returned. Others that depend on it are reconciled; `key` itself
        is not, since the status says what its own plan has just decided."""
        self._muted = key
        try:
            self._stores[resource].put(value)
        finally:
            self._muted = None

    def children(self, resource: Resource, key: Key) -> list[Json]:
        """The objects of a resource whose labels name this object."""
        return self._stores[resource].find(trim.owner_value(key.kind, key.namespace, key.name))

    def deployments_naming(self, training_job: Key) -> list[Json]:
        """The ClassifierDeployments that serve a checkpoint of this training job."""
        value = trim.owner_value(names.TRAINING_JOB_KIND, training_job.namespace, training_job.name)
        return self._stores[DEPLOYMENTS].find(value)

    def training_jobs_naming(self, training_job: Key) -> list[Json]:
        """The ClassifierTrainingJobs that start from a checkpoint of this one."""
        value = trim.owner_value(names.TRAINING_JOB_KIND, training_job.namespace, training_job.name)
        return self._stores[TRAINING_JOBS].find(value)

    def all_keys(self) -> list[Key]:
        return [
            Key(_KIND_OF[resource], value["metadata"]["namespace"], value["metadata"]["name"])
            for resource in OWN_KINDS
            for value in self._stores[resource].values()
        ]

    @staticmethod
    def _trimmer(resource: Resource) -> Callable[[Json], Json]:
        return lambda value: trim.trim(resource, value)

    def _changed(self, resource: Resource, old: Json | None, new: Json | None) -> None:
        if resource is LEASES:
            self._note_port(old, new)
        for value in (old, new):
            if value is not None:
                for key in self._dependents(resource, value):
                    if key != self._muted:
                        self._enqueue(key)

    def _note_port(self, old: Json | None, new: Json | None) -> None:
        before, after = (old or {}).get("deployment"), (new or {}).get("deployment")
        if before is not None and (after is None or after["uid"] != before["uid"]):
            self._ports.unnamed(before["uid"])
        if after is not None:
            self._ports.named(after["uid"], after["port"])

    def _dependents(self, resource: Resource, value: Json) -> list[Key]:
        """The objects whose reconciliation depends on this one; adding a key twice costs nothing."""
        namespace, name = value["metadata"]["namespace"], value["metadata"]["name"]
        if resource in _KIND_OF:
            keys = [Key(_KIND_OF[resource], namespace, name)]
            if resource is TRAINING_JOBS:
                for kind, naming in (
                    (names.DEPLOYMENT_KIND, self.deployments_naming(keys[0])),
                    (names.TRAINING_JOB_KIND, self.training_jobs_naming(keys[0])),
                ):
                    keys += [Key(kind, namespace, each["metadata"]["name"]) for each in naming]
            if job := trim.named_training_job(value):
                keys.append(Key(names.TRAINING_JOB_KIND, namespace, job))
            return keys
        if resource is LEASES:
            target = value.get("deployment")
            return [Key(names.DEPLOYMENT_KIND, target["namespace"], target["name"])] if target else []
        labels = value["metadata"].get("labels") or {}
        return [Key(kind, namespace, labels[label]) for label, kind in _LABELS.items() if label in labels]


def _index(resource: Resource) -> Callable[[Json], tuple[str, ...]]:
    if resource is LEASES:
        return trim.lease_index
    return trim.reference_index if resource in OWN_KINDS else trim.owner_index
