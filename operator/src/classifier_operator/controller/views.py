"""From trimmed objects of the cache to the frozen views that decisions are made from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from classifier_operator.kube.cache import controller_of
from classifier_operator.kube.client import Json
from classifier_operator.kube.trim import INDEX_LABEL
from classifier_operator.plan.types import (
    AppView,
    ClaimView,
    JobView,
    PodStats,
    PodView,
    ServiceView,
    SliceView,
)
from classifier_operator.pods.stats import Said

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def when(text: str | None) -> datetime | None:
    """A metav1.Time."""
    return datetime.fromisoformat(text) if text else None


def controlled_by(value: Json, uid: str) -> bool:
    """Whether the object's controller is the one with this UID."""
    owner = controller_of(value)
    return owner is not None and owner.get("uid") == uid


def job_view(value: Json) -> JobView:
    metadata, spec, status = value["metadata"], value.get("spec") or {}, value.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or () if each.get("status") == "True"}
    complete, failed, suspended = conditions.get("Complete"), conditions.get("Failed"), conditions.get("Suspended")
    ended = complete or failed
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in metadata,
        start_time=when(status.get("startTime")),
        end_time=when(status.get("completionTime") or (ended or {}).get("lastTransitionTime")) if ended else None,
        suspended_at=when((suspended or {}).get("lastTransitionTime")),
        complete=complete is not None,
        failed_reason=(failed.get("reason") or "JobFailed") if failed else None,
        failed_message=(failed or {}).get("message") or "",
        active=int(status.get("active") or 0),
        failed=int(status.get("failed") or 0),
        succeeded=int(status.get("succeeded") or 0),
    )


def pod_view(value: Json) -> PodView:
    metadata, status = value["metadata"], value.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    container: Json = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    last = container.get("lastState") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    begun = state.get("running") or state.get("terminated") or last.get("terminated") or {}
    scheduled = conditions.get("PodScheduled") or {}
    unschedulable = None
    if scheduled.get("status") == "False":
        unschedulable = scheduled.get("message") or scheduled.get("reason") or "no reason given"
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        created=when(metadata.get("creationTimestamp")) or _EPOCH,
        phase=status.get("phase") or "Pending",
        ip=status.get("podIP"),
        deleting="deletionTimestamp" in metadata,
        generation=labels.get("pod-template-hash", ""),
        index=int(labels.get(INDEX_LABEL) or 0),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        unschedulable=unschedulable,
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message") or "",
        started_at=when(begun.get("startedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason") or "",
        last_words=ended.get("message") or "",
        restarts=int(container.get("restartCount") or 0),
        evicted=_evicted(status, conditions),
    )


def _evicted(status: Json, conditions: dict[str, Json]) -> str:
    if status.get("phase") != "Failed":
        return ""
    disrupted = conditions.get("DisruptionTarget") or {}
    if disrupted.get("status") == "True":
        return str(disrupted.get("message") or disrupted.get("reason") or "disrupted")
    return str(status.get("message") or status.get("reason") or "")


def claim_view(value: Json) -> ClaimView:
    return ClaimView(value["metadata"]["name"], deleting="deletionTimestamp" in value["metadata"])


def app_view(value: Json) -> AppView:
    metadata, spec, status = value["metadata"], value.get("spec") or {}, value.get("status") or {}
    progressing: Json = next((each for each in status.get("conditions") or () if each["type"] == "Progressing"), {})
    late = progressing.get("reason") == "ProgressDeadlineExceeded"
    return AppView(
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 1),
        observed_generation=int(status.get("observedGeneration") or 0),
        wanted=int(spec.get("replicas") or 0),
        replicas=int(status.get("replicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        late=(progressing.get("message") or "late") if late else None,
        deleting="deletionTimestamp" in metadata,
    )


def service_view(value: Json) -> ServiceView:
    address = (value.get("spec") or {}).get("clusterIP")
    return ServiceView(value["metadata"]["uid"], address if address and address != "None" else None)


def slice_view(slices: Sequence[Json]) -> SliceView | None:
    """Our own EndpointSlices of one Service as one; None where there is none that is to stay."""
    staying = [each for each in slices if "deletionTimestamp" not in each["metadata"]]
    if not staying:
        return None
    ports = {int(each.get("port") or 0) for each in staying}
    return SliceView(
        uid=staying[0]["metadata"]["uid"],
        port=ports.pop() if len(ports) == 1 else 0,  # 0 is no port: what is said of two must be said anew
        ips=frozenset(address for each in staying for address in each.get("addresses") or ()),
    )


def pod_stats(said: Said | None) -> PodStats | None:
    """What a pod said, counted on to now."""
    if said is None:
        return None
    stats, age = said.stats, said.age
    completed = stats.seconds_since_last_completion
    return PodStats(
        in_flight=stats.in_flight,
        since_completion=None if completed is None else completed + age,
        since_ready=(stats.seconds_since_ready or 0.0) + age,
        age=age,
    )
