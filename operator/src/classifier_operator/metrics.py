"""What the operator counts, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILES: Final = Counter("classifier_operator_reconcile_total", "Reconciliations", ["kind", "result"])
RECONCILE_SECONDS: Final = Histogram(
    "classifier_operator_reconcile_seconds",
    "Time of one reconciliation",
    ["kind"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RECONCILE_ERRORS: Final = Counter("classifier_operator_reconcile_errors_total", "Failed reconciliations", ["kind"])
QUEUE_DEPTH: Final = Gauge("classifier_operator_queue_depth", "Keys that wait to be reconciled")
WATCH_EVENTS: Final = Counter("classifier_operator_watch_events_total", "Events of watches", ["resource", "type"])
WATCH_RESTARTS: Final = Counter("classifier_operator_watch_restarts_total", "Lists after the first", ["resource"])
API_REQUESTS: Final = Counter(
    "classifier_operator_api_requests_total", "Requests to the API server", ["method", "code"]
)
STATUS_WRITES: Final = Counter("classifier_operator_status_writes_total", "Writes of a status", ["kind"])
POLLS: Final = Counter("classifier_operator_polls_total", "Questions to pods", ["what", "result"])
IS_LEADER: Final = Gauge("classifier_operator_is_leader", "Whether this process holds the Lease")

Series = Counter | Gauge | Histogram
_DEPLOYMENT: Final = ["namespace", "name"]

AWAKE_SECONDS: Final = Counter(
    "classifier_operator_deployment_awake_seconds_total", "Time in which a deployment had or wanted pods", _DEPLOYMENT
)
GPU_SECONDS_SAVED: Final = Counter(
    "classifier_operator_deployment_asleep_gpu_seconds_saved_total",
    "GPUs that the pods of a deployment would have held, times the seconds in which it slept",
    _DEPLOYMENT,
)
WAKES: Final = Counter(
    "classifier_operator_deployment_wakes_total", "How often a deployment was given pods after it had none", _DEPLOYMENT
)
WAKE_SECONDS: Final = Histogram(
    "classifier_operator_deployment_wake_seconds",
    "Time from that until Kubernetes led its Service to the first pod",
    _DEPLOYMENT,
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)
NEXT_TRANSITION: Final = Gauge(
    "classifier_operator_deployment_next_transition_timestamp_seconds",
    "When a deployment next falls asleep or wakes, as far as is known",
    _DEPLOYMENT,
)
