"""The server pods of each deployment: which may be sent a request, and how much each has."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from classifier_operator.api import names
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import Resource

PROBE_COUNTS_SECONDS: Final = 5.0
"""How long an answer to our own probe makes a pod ready; by then the kubelet has mostly found out by itself."""


def trim_pod(value: Json) -> Json:
    """Of a pod only what the gateway needs."""
    metadata, status = value["metadata"], value.get("status") or {}
    return {
        "metadata": {field: metadata[field] for field in ("namespace", "name", "uid", "resourceVersion")},
        "deployment": (metadata.get("labels") or {}).get(names.DEPLOYMENT_LABEL),
        "ip": status.get("podIP"),
        "gone": bool(metadata.get("deletionTimestamp")) or status.get("phase") in ("Succeeded", "Failed"),
        "ready": any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()),
    }


@dataclass(slots=True, eq=False)
class Pod:
    """One pod.

    Attributes:
        ready: the kubelet says that it is.
        gone: it is being deleted, or has ended: nothing new is sent to it.
        in_flight: requests that it has of us.
        served: requests that it was ever sent.
        suspect: a connection to it broke; only our own probe, or a change of the kubelet's mind, clears it.
        probed_until: our own probe counts until then.
        asked_at: when our own probe last set out.
    """

    uid: str
    ip: str = ""
    ready: bool = False
    gone: bool = False
    in_flight: int = 0
    served: int = 0
    suspect: bool = False
    probed_until: float = 0.0
    asked_at: float = 0.0

    def usable(self, now: float) -> bool:
        """Whether a request may be sent to it."""
        return bool(self.ip) and not self.gone and not self.suspect and (self.ready or now < self.probed_until)

    def see(self, value: Json) -> None:
        """Takes over what the API server says."""
        ip, ready = value["ip"] or "", bool(value["ready"])
        if ip != self.ip or ready != self.ready:
            self.suspect = False
            self.probed_until = 0.0 if ip != self.ip or not ready else self.probed_until
        self.ip, self.ready, self.gone = ip, ready, bool(value["gone"])


class PodGroup:
    """The pods of one deployment.

    Args:
        limit: requests that one pod is sent at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pods: dict[str, Pod] = {}
        self._followers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._pods)

    def follow(self, changed: Callable[[], None]) -> None:
        """Calls `changed` from now on whenever a pod may have become usable or unusable, or has room again."""
        self._followers.append(changed)

    def unfollow(self, changed: Callable[[], None]) -> None:
        self._followers.remove(changed)

    @property
    def followed(self) -> bool:
        return bool(self._followers)

    def usable(self) -> bool:
        """Whether there is a pod that may be sent requests."""
        now = time.monotonic()
        return any(pod.usable(now) for pod in self._pods.values())

    def take(self) -> Pod | None:
        """The usable pod with the fewest requests, which has one more from now on; None: there is none with room."""
        now = time.monotonic()
        free = [pod for pod in self._pods.values() if pod.in_flight < self._limit and pod.usable(now)]
        if not free:
            return None
        chosen = min(free, key=lambda pod: (pod.in_flight, pod.served))
        chosen.in_flight += 1
        chosen.served += 1
        return chosen

    def give(self, pod: Pod) -> None:
        """The pod has answered, or failed to."""
        pod.in_flight -= 1
        self._changed()

    def answered(self, pod: Pod) -> None:
        """The pod has answered a request, which is as good as a probe, and keeps one in force."""
        if pod.probed_until and not pod.suspect:
            pod.probed_until = time.monotonic() + PROBE_COUNTS_SECONDS

    def broke(self, pod: Pod) -> None:
        """A connection to the pod could not be made or broke."""
        pod.suspect = True
        pod.probed_until = 0.0
        self._changed()

    def unsure(self) -> list[Pod]:
        """The pods that might be ready and are not known to be."""
        now = time.monotonic()
        return [pod for pod in self._pods.values() if pod.ip and not pod.gone and not pod.usable(now)]

    def probed(self, pod: Pod) -> None:
        """The pod has just said that it is ready."""
        pod.suspect = False
        pod.probed_until = time.monotonic() + PROBE_COUNTS_SECONDS
        self._changed()

    def put(self, name: str, value: Json) -> None:
        """What the API server says of a pod."""
        pod = self._pods.get(name)
        if pod is None or pod.uid != value["metadata"]["uid"]:
            pod = self._pods[name] = Pod(value["metadata"]["uid"])
        pod.see(value)
        self._changed()

    def remove(self, name: str) -> None:
        """The pod is no more."""
        pod = self._pods.pop(name, None)
        if pod is not None:
            pod.gone = True
            self._changed()

    def _changed(self) -> None:
        for changed in self._followers:
            changed()


class PodDirectory:
    """The groups of all deployments; `seen` is the listener of the store of pods."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: dict[tuple[str, str], PodGroup] = {}

    def follow(self, namespace: str, name: str, changed: Callable[[], None]) -> PodGroup:
        """The group of a deployment, which calls `changed` from now on."""
        group = self._groups.setdefault((namespace, name), PodGroup(self._limit))
        group.follow(changed)
        return group

    def unfollow(self, namespace: str, name: str, changed: Callable[[], None]) -> None:
        group = self._groups.get((namespace, name))
        if group is not None:
            group.unfollow(changed)
            self._forget(namespace, name, group)

    def seen(self, _: Resource, old: Json | None, new: Json | None) -> None:
        """A pod came, changed or went."""
        value = new or old
        if value is None:
            return
        namespace, name = value["metadata"]["namespace"], value["metadata"]["name"]
        if old is not None and (new is None or new["deployment"] != old["deployment"]):
            group = self._groups.get((namespace, old["deployment"]))
            if group is not None:
                group.remove(name)
                self._forget(namespace, old["deployment"], group)
        if new is not None and new["deployment"]:
            self._groups.setdefault((namespace, new["deployment"]), PodGroup(self._limit)).put(name, new)

    def _forget(self, namespace: str, name: str, group: PodGroup) -> None:
        if not len(group) and not group.followed:
            self._groups.pop((namespace, name), None)
