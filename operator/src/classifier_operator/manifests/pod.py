"""The pod of trainer and server: restricted, one container, the user's subset of the template merged in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from classifier_operator.api.pod_template import PodTemplate, PodTemplateSpec, ResourceRequirements, Volume
from classifier_operator.manifests.mounts import Mounts

Json = dict[str, Any]

USER_ID: Final = 65532
INTERNAL_PORT: Final = 9090
_TMP: Final = "tmp"
_SCHEDULING: Final = (
    "node_selector",
    "tolerations",
    "affinity",
    "topology_spread_constraints",
    "priority_class_name",
    "scheduler_name",
    "runtime_class_name",
    "image_pull_secrets",
)


def pod_spec(
    *,
    container: str,
    image: str,
    environment: Mapping[str, str],
    secret_names: Iterable[str | None],
    mounts: Mounts,
    resources: ResourceRequirements | None,
    template: PodTemplate | None,
    extra: Json,
    grace_seconds: int,
) -> Json:
    """A PodSpec that the restricted Pod Security Standard admits.

    Args:
        secret_names: Secrets whose keys become environment variables, each once, the later ones over the earlier.
        extra: fields of the container: ports, probes, lifecycle.
        grace_seconds: time between SIGTERM and SIGKILL.
    """
    chosen = (template.spec if template else None) or PodTemplateSpec()
    ours = {"HOME": "/tmp", "HF_HOME": "/tmp/hf", **environment}  # noqa: S108  # an emptyDir of this pod alone
    body: Json = {
        "name": container,
        "image": image,
        "env": _environment(chosen, ours),
        "volumeMounts": _volume_mounts(chosen, [*mounts.volume_mounts, {"name": _TMP, "mountPath": "/tmp"}]),  # noqa: S108
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": "/dev/termination-log",
        # Not FallbackToLogsOnError: the end of a log is a traceback, and that has no place in a status.
        "terminationMessagePolicy": "File",
        **extra,
    }
    if secrets := list(dict.fromkeys(name for name in secret_names if name)):
        body["envFrom"] = [{"secretRef": {"name": name}} for name in secrets]
    if resources is not None:
        body["resources"] = resources.to_json_object()
    scheduling = chosen.to_json_object()
    return {
        **{camel: scheduling[camel] for camel in map(_camel, _SCHEDULING) if camel in scheduling},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [body],
        "volumes": _volumes(chosen, [*mounts.volumes, {"name": _TMP, "emptyDir": {}}]),
    }


def probe(path: str, *, period: int, failures: int, seconds: int = 3) -> Json:
    """An HTTP probe on the internal port; all times in seconds."""
    return {
        "httpGet": {"path": path, "port": INTERNAL_PORT},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": seconds,
    }


def gpu_count(resources: ResourceRequirements | None) -> int:
    """GPUs of a container, of whatever make."""
    limits = (resources and resources.limits) or {}
    return sum(int(count) for name, count in limits.items() if name.endswith("/gpu") and str(count).isdigit())


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _environment(chosen: PodTemplateSpec, ours: Mapping[str, str]) -> list[Json]:
    theirs = [each.to_json_object() for each in chosen.env or () if each.name not in ours]
    return [*({"name": name, "value": value} for name, value in sorted(ours.items())), *theirs]


def _volumes(chosen: PodTemplateSpec, ours: Sequence[Json]) -> list[Json]:
    taken = {each["name"] for each in ours}
    return [*ours, *(_volume(each) for each in chosen.volumes or () if each.name not in taken)]


def _volume(volume: Volume) -> Json:
    return volume.to_json_object()


def _volume_mounts(chosen: PodTemplateSpec, ours: Sequence[Json]) -> list[Json]:
    taken = {each["mountPath"] for each in ours}
    return [*ours, *(each.to_json_object() for each in chosen.volume_mounts or () if each.mount_path not in taken)]
