"""The Deployment of a ClassifierDeployment."""

from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.manifests.metadata import object_metadata, pod_metadata
from classifier_operator.manifests.mounts import Mounts
from classifier_operator.manifests.pod import INTERNAL_PORT, pod_spec, probe
from classifier_operator.wire.serve_config import SERVE_CONFIG_VARIABLE, ModelSource, ServeConfig

Json = dict[str, Any]

CONTAINER: Final = "server"
HTTP_PORT: Final = 8080
API_KEYS: Final = "/var/run/classifier-keys"
GRACE_SECONDS: Final = 60
"""For preStop and for finishing what was accepted."""
_DEADLINE_SLACK_SECONDS: Final = 15
"""The startup probe ends first, so that the container's own words are there when the deadline passes."""


def serve_config(
    deployment: ClassifierDeployment, *, model_uri: str, checkpoint: str | None, base_model_uri: str | None
) -> tuple[ServeConfig, Mounts]:
    """What the server shall serve, and the volumes that it needs."""
    mounts = Mounts()
    mounts.add_uri(model_uri, "model")
    if base_model_uri is not None:
        mounts.add_uri(base_model_uri, "base-model")
    auth = deployment.spec.auth
    if auth is not None:
        mounts.add_optional_secret(auth.api_key_secret_name, "api-keys", API_KEYS)
    config = ServeConfig(
        name=deployment.metadata.name,
        checkpoint=checkpoint,
        model=ModelSource(uri=model_uri),
        base_model=ModelSource(uri=base_model_uri) if base_model_uri else None,
        server=deployment.spec.server,
        mounts=dict(mounts.paths),
        api_keys_dir=API_KEYS if auth is not None else None,
    )
    return config, mounts


def server_deployment(
    deployment: ClassifierDeployment,
    *,
    replicas: int,
    model_uri: str,
    checkpoint: str | None,
    base_model_uri: str | None,
    image: str,
) -> Json:
    """The Deployment, to be applied."""
    spec = deployment.spec
    config, mounts = serve_config(deployment, model_uri=model_uri, checkpoint=checkpoint, base_model_uri=base_model_uri)
    labels = names.server_labels(deployment.metadata.name)
    startup = max(1, int(spec.startup_timeout.total_seconds()))
    pod = pod_spec(
        container=CONTAINER,
        image=spec.image or image,
        environment={SERVE_CONFIG_VARIABLE: config.encode()},
        secret_names=(spec.model.secret_name,),
        mounts=mounts,
        resources=spec.resources,
        template=spec.pod_template,
        extra={
            "ports": [
                {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
                {"name": "internal", "containerPort": INTERNAL_PORT, "protocol": "TCP"},
            ],
            "startupProbe": probe("/ready", period=1, failures=startup, seconds=1),
            "readinessProbe": probe("/ready", period=5, failures=2),
            "livenessProbe": probe("/health", period=10, failures=3, seconds=5),
            "lifecycle": {"preStop": {"httpGet": {"path": "/drain", "port": INTERNAL_PORT}}},
        },
        grace_seconds=GRACE_SECONDS,
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_metadata(names.deployment_name(deployment.metadata.name), deployment, labels),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": startup + _DEADLINE_SLACK_SECONDS,
            "selector": {"matchLabels": labels},
            "strategy": _strategy(spec.update_strategy),
            "template": {"metadata": pod_metadata(spec.pod_template, labels), "spec": pod},
        },
    }


def _strategy(name: str) -> Json:
    if name == "Recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
