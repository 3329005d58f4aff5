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
