"""The batch Job of a training job."""

from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.pod_template import PodTemplateSpec
from classifier_operator.api.training_status import BaseModelStatus
from classifier_operator.manifests.metadata import object_metadata, pod_metadata
from classifier_operator.manifests.mounts import Mounts
from classifier_operator.manifests.pod import INTERNAL_PORT, gpu_count, pod_spec, probe
from classifier_operator.manifests.rendezvous import indexed, rendezvous_environment, with_variables
from classifier_operator.wire.progress import TERMINATED_EXIT_CODE, USER_ERROR_EXIT_CODE
from classifier_operator.wire.run_config import RUN_CONFIG_VARIABLE, RunBaseModel, RunConfig

Json = dict[str, Any]

CONTAINER: Final = "trainer"
DEFAULT_BACKOFF_LIMIT: Final = 3
GRACE_SECONDS: Final = 120
"""For saving the state of training on SIGTERM."""
_PROBES: Final = {
    "startupProbe": probe("/health", period=5, failures=120),
    "livenessProbe": probe("/health", period=30, failures=10, seconds=10),
}
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108  # an emptyDir of this pod alone


def training_mounts(job: ClassifierTrainingJob, *, output_uri: str, base_model: BaseModelStatus) -> Mounts:
    """The volumes of the trainer's pods."""
    mounts, spec = Mounts(), job.spec
    mounts.add_output(output_uri)
    mounts.add_uri(base_model.uri or "", "base-model")
    mounts.add_uri(base_model.adapter_base or "", "adapter-base")
    functions = ((f"test-function-{number}", each) for number, each in enumerate(spec.test_functions or ()))
    for role, source in (("train", spec.train_dataset), ("test", spec.test_dataset), *functions):
        if source is None:
            continue
        if source.uri is not None:
            mounts.add_uri(source.uri, role)
        if source.config_map is not None:
            mounts.add_config_map(source.config_map.uri, source.config_map.name, source.config_map.key, role)
    template = (spec.pod_template and spec.pod_template.spec) or PodTemplateSpec()
    theirs = {each.mount_path for each in template.volume_mounts or ()}
    if gpus(job) > 1 and _SHARED_MEMORY not in theirs:
        # By way of it the processes of several GPUs talk to each other; a container has 64 MiB of it otherwise.
        mounts.add_scratch("shared-memory", _SHARED_MEMORY, memory=True)
    return mounts


def training_job(
    job: ClassifierTrainingJob,
    *,
    name: str,
    output_uri: str,
    base_model: BaseModelStatus,
    suspended: bool,
    image: str,
) -> Json:
    """The Job, to be created by POST.

    Args:
        base_model: the base model as it was found; it has a uri.

    Raises:
        WireError: the run configuration is larger than 64 KiB.
    """
    mounts = training_mounts(job, output_uri=output_uri, base_model=base_model)
    base = RunBaseModel(uri=base_model.uri or "", adapter_base=base_model.adapter_base)
    config = RunConfig.of(job.spec, base_model=base, output_uri=output_uri, mounts=mounts.paths)
    labels = names.trainer_labels(job.metadata.name)
    spec, nodes = job.spec, job.spec.nodes or 1
    pod = pod_spec(
        container=CONTAINER,
        image=spec.image or image,
        environment={RUN_CONFIG_VARIABLE: config.encode()},
        secret_names=[
            source.secret_name
            for source in (spec.base_model, spec.train_dataset, spec.test_dataset, spec.output)
            if source is not None
        ],
        mounts=mounts,
        resources=spec.resources,
        template=spec.pod_template,
        extra={
            "ports": [{"name": "internal", "containerPort": INTERNAL_PORT, "protocol": "TCP"}],
            # Of several nodes only the first one answers, and all have the same template.
            **(_PROBES if nodes == 1 else {}),
        },
        grace_seconds=GRACE_SECONDS,
    )
    environment = rendezvous_environment(name, job.metadata.namespace, nodes=nodes, gpus=gpus(job))
    mode, pod = indexed(nodes, with_variables(pod, environment), service=name)
    backoff_limit = DEFAULT_BACKOFF_LIMIT if spec.backoff_limit is None else spec.backoff_limit
    body: Json = {
        "suspend": suspended,
        "completions": nodes,
        "parallelism": nodes,
        **mode,
        # An attempt of several nodes fails on each of them: none can go on alone.
        "backoffLimit": backoff_limit * nodes,
        # A second trainer must not start while the first still writes to the same output.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                _on_exit("FailJob", USER_ERROR_EXIT_CODE),
                # Suspended, evicted or deleted: the state is saved, and nothing was wrong with the run.
                _on_exit("Ignore", TERMINATED_EXIT_CODE),
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": {
            "metadata": pod_metadata(spec.pod_template, labels),
            "spec": {**pod, "restartPolicy": "Never"},
        },
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": object_metadata(name, job, labels), "spec": body}


def _on_exit(action: str, code: int) -> Json:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [code]}}


def gpus(job: ClassifierTrainingJob) -> int:
    """GPUs of each pod, of whatever make; 1 also where there is none."""
    return max(1, gpu_count(job.spec.resources))
