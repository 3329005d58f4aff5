"""Settings of the gateway, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from classifier_operator.settings import FromEnvironment

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewaySettings(FromEnvironment):
    """Every setting has a variable in the environment; times are in seconds."""

    namespace: str = "default"
    """CLASSIFIER_NAMESPACE: namespace of the wake Leases. Default: the pod's own, else `default`."""
    pod_ip: str = ""
    """POD_IP: addresses of this pod, separated by commas. Without one nobody knows whether a Service still leads here,
    and a gateway that stops does not wait for it."""
    host: str = ""
    """CLASSIFIER_HOST: address to listen at. Default: all, of IPv6 too where the machine has it."""
    report_port: int = 9090
    """CLASSIFIER_REPORT_PORT: port of `/report`, `/metrics`, `/healthz` and `/ready`."""
    pod_port: int = 8080
    """CLASSIFIER_POD_PORT: port of the server pods that requests are forwarded to."""
    pod_internal_port: int = 9090
    """CLASSIFIER_POD_INTERNAL_PORT: port of the server pods that is asked whether they are ready."""
    pod_in_flight: int = 128
    """CLASSIFIER_POD_IN_FLIGHT: requests that are forwarded to one pod at a time. Others wait: a pod's queue is shorter
    (server.maxQueue) than the crowd that a wake may have gathered."""
    connections: int = 50
    """CLASSIFIER_CONNECTIONS: connections to the API server, and Leases that are renewed at a time."""
    budget_bytes: int = 256 * _MIB
    """CLASSIFIER_BUDGET_BYTES: memory for the requests that are received, held or forwarded."""
    receive_seconds: float = 30.0
    """CLASSIFIER_RECEIVE_SECONDS: for the head of a request, and again for its body."""
    probe_seconds: float = 0.1
    """CLASSIFIER_PROBE_SECONDS: how often a pod is asked whether it is ready, while requests are held for it."""
    probe_timeout_seconds: float = 0.3
    """CLASSIFIER_PROBE_TIMEOUT_SECONDS: how long its answer is awaited."""
    linger_seconds: float = 60.0
    """CLASSIFIER_LINGER_SECONDS: how long a port stays open after its order has gone, for callers and nodes that have
    not heard of it."""
    drain_seconds: float = 120.0
    """CLASSIFIER_DRAIN_SECONDS: how long a gateway that stops waits at most until no EndpointSlice leads to it and the
    requests that it holds have found a pod."""
    settle_seconds: float = 5.0
    """CLASSIFIER_SETTLE_SECONDS: how long it goes on after that, for nodes that have not heard of it."""
    slices_seconds: float = 1.0
    """CLASSIFIER_SLICES_SECONDS: how often it looks at the EndpointSlices meanwhile."""
    finish_seconds: float = 20.0
    """CLASSIFIER_FINISH_SECONDS: how long it then waits at most for answers that are under way."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the settings.

        Raises:
            ValueError: a variable does not hold a number where one is needed; the message names it.
        """
        own_address = {"CLASSIFIER_POD_IP": environment["POD_IP"]} if environment.get("POD_IP") else {}
        return super(GatewaySettings, cls).from_environment({**environment, **own_address})

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses of this pod."""
        return frozenset(address.strip() for address in self.pod_ip.split(",") if address.strip())
