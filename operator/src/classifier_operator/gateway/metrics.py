"""What the gateway counts, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

HELD: Final = Gauge("classifier_gateway_held", "Requests that are held now", ["namespace", "name"])
HELD_TOTAL: Final = Counter("classifier_gateway_holds_total", "Requests that were held", ["namespace", "name"])
HELD_BYTES: Final = Gauge("classifier_gateway_held_bytes", "Memory counted for requests that are in the process")
HOLD_SECONDS: Final = Histogram(
    "classifier_gateway_hold_seconds",
    "How long requests were held, whatever came of it",
    buckets=(0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600),
)
FORWARD_SECONDS: Final = Histogram(
    "classifier_gateway_forward_seconds",
    "From handing a request to a pod to its whole answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
FORWARDED: Final = Counter("classifier_gateway_forwarded_total", "Answers of pods that were passed on", ["code"])
REJECTED: Final = Counter("classifier_gateway_rejected_total", "Requests that the gateway refused", ["reason"])
BROKEN: Final = Counter("classifier_gateway_broken_total", "Connections to pods that broke", ["how"])
WAKES: Final = Counter("classifier_gateway_renewals_total", "Renewals of wake Leases", ["result"])
LISTENING: Final = Gauge("classifier_gateway_ports", "Ports that are listened at")
