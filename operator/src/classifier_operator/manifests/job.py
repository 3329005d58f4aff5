"""The batch Job of a training job."""

from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.manifests.metadata import object_metadata, pod_metadata
from classifier_operator.manifests.mounts import Mounts
from classifier_operator.manifests.pod import INTERNAL_PORT, pod_spec, probe
from classifier_operator.wire.progress import USER_ERROR_EXIT_CODE
from classifier_operator.wire.run_config import RUN_CONFIG_VARIABLE, RunConfig

Json = dict[str, Any]

CONTAINER: Final = "trainer"
DEFAULT_BACKOFF_LIMIT: Final = 3
GRACE_SECONDS: Final = 120
"""For saving the state of training on SIGTERM."""


def training_mounts(job: ClassifierTrainingJob, output_uri: str) -> Mounts:
    """The volumes of the trainer's pod."""
    mounts, spec = Mounts(), job.spec
    mounts.add_output(output_uri)
    mounts.add_uri(spec.base_model.uri, "base-model")
    for role, dataset in (("train", spec.train_dataset), ("test", spec.test_dataset)):
        if dataset is None:
            continue
        if dataset.uri is not None:
            mounts.add_uri(dataset.uri, role)
        if dataset.config_map is not None:
            source = dataset.config_map
            mounts.add_config_map(source.uri, source.name, source.key, role)
    return mounts


def training_job(job: ClassifierTrainingJob, *, name: str, output_uri: str, suspended: bool, image: str) -> Json:
    """The Job, to be created by POST.

    Raises:
        WireError: the run configuration is larger than 64 KiB.
    """
    mounts = training_mounts(job, output_uri)
    config = RunConfig.of(job.spec, output_uri=output_uri, mounts=mounts.paths)
    labels = names.trainer_labels(job.metadata.name)
    spec = job.spec
    pod = pod_spec(
        container=CONTAINER,
        image=spec.image or image,
        environment={RUN_CONFIG_VARIABLE: config.encode()},
        secret_name=spec.base_model.secret_name,
        mounts=mounts,
        resources=spec.resources,
        template=spec.pod_template,
        extra={
            "ports": [{"name": "internal", "containerPort": INTERNAL_PORT, "protocol": "TCP"}],
            "startupProbe": probe("/health", period=5, failures=120),
            "livenessProbe": probe("/health", period=30, failures=10, seconds=10),
        },
        grace_seconds=GRACE_SECONDS,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": object_metadata(name, job, labels),
        "spec": {
            "suspend": suspended,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": DEFAULT_BACKOFF_LIMIT if spec.backoff_limit is None else spec.backoff_limit,
            # A second trainer must not start while the first still writes to the same output.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [USER_ERROR_EXIT_CODE],
                        },
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": pod_metadata(spec.pod_template, labels),
                "spec": {**pod, "restartPolicy": "Never"},
            },
        },
    }
