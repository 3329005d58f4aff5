"""Settings of the operator, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class FromEnvironment:
    """A frozen dataclass with slots whose fields have defaults: each is read from `CLASSIFIER_<ITS NAME>`."""

    __slots__ = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the settings.

        Raises:
            ValueError: a variable does not hold a number where one is needed; the message names it.
        """
        values: dict[str, str | int | float] = {}
        defaults = cls()
        names: tuple[str, ...] = cls.__slots__
        for name in names:
            variable = f"CLASSIFIER_{name.upper()}"
            text = environment.get(variable, "")
            if not text:
                continue
            kind = type(getattr(defaults, name))
            try:
                values[name] = kind(text)
            except ValueError:
                raise ValueError(f"{variable} must be a number, but is {text!r}") from None
        if "namespace" not in values and _NAMESPACE_FILE.exists():
            values["namespace"] = _NAMESPACE_FILE.read_text().strip()
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Settings(FromEnvironment):
    """Every setting has a variable in the environment; times are in seconds."""

    trainer_image: str = "classifier-operator/trainer:latest"
    """CLASSIFIER_TRAINER_IMAGE: image of the trainer where a job names none."""
    server_image: str = "classifier-operator/server:latest"
    """CLASSIFIER_SERVER_IMAGE: image of the server where a deployment names none."""
    namespace: str = "default"
    """CLASSIFIER_NAMESPACE: namespace of the Lease. Default: the pod's own, else `default`."""
    lease_name: str = "classifier-operator"
    """CLASSIFIER_LEASE_NAME: name of the Lease that decides who works."""
    lease_seconds: float = 15.0
    """CLASSIFIER_LEASE_SECONDS: after this time without renewal another operator takes over. The holder stops writing
    at two thirds of it, and renews every sixth."""
    workers: int = 32
    """CLASSIFIER_WORKERS: keys that are reconciled at a time."""
    connections: int = 200
    """CLASSIFIER_CONNECTIONS: connections to the API server."""
    metrics_port: int = 9090
    """CLASSIFIER_METRICS_PORT: port of `/metrics`; 0: none."""
    relist_seconds: float = 600.0
    """CLASSIFIER_RELIST_SECONDS: how often the two kinds are listed again."""
    poll_seconds: float = 5.0
    """CLASSIFIER_POLL_SECONDS: how often a running trainer is asked for its progress."""
    stats_seconds: float = 5.0
    """CLASSIFIER_STATS_SECONDS: how often a server pod is asked for its activity where something depends on it; at
    least every second under autoscaling."""
    progress_seconds: float = 10.0
    """CLASSIFIER_PROGRESS_SECONDS: the least time between two writes of a job's progress."""
    progress_writes: float = 50.0
    """CLASSIFIER_PROGRESS_WRITES: writes of progress per second, over all jobs."""
    gateway_selector: str = "app.kubernetes.io/name=classifier-operator,app.kubernetes.io/component=gateway"
    """CLASSIFIER_GATEWAY_SELECTOR: labels of the gateway's pods, which run in the operator's namespace."""
    gateway_report_url: str = "http://{ip}:9090/report"
    """CLASSIFIER_GATEWAY_REPORT_URL: where a gateway pod is asked for whom it listens; contains {ip}. To be changed
    only where the operator runs outside the cluster."""
    port_rest_seconds: float = 600.0
    """CLASSIFIER_PORT_REST_SECONDS: how long the gateway's port of a deployment that is gone is not given away."""
    service_probe_url: str = "http://{cluster_ip}:{port}/ready"
    """CLASSIFIER_SERVICE_PROBE_URL: where a deployment's Service is asked whether it answers; may contain {name},
    {namespace}, {cluster_ip} and {port}. To be changed only where the operator runs outside the cluster."""
