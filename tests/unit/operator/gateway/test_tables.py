"""The gateway's pure parts, case by case."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from classifier_operator.gateway.auth import check_key, presented
from classifier_operator.gateway.budget import Budget, OverBudgetError
from classifier_operator.gateway.head import passed_on
from classifier_operator.gateway.patience import Patience, patience, refused_until, rest_of_wake
from classifier_operator.gateway.pods import trim_pod
from classifier_operator.gateway.refusal import RefusalError
from classifier_operator.gateway.routes import Page, find_route
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.wire.wake import GatewayOrder

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def order(**changes: Any) -> GatewayOrder:
    values: dict[str, Any] = {"namespace": "team", "name": "news", "uid": "u", "port": 10_000, "answer": "Refuse"}
    return GatewayOrder(**values, reason="Idle", message="It sleeps.", max_held=1, hold_seconds=1).model_copy(
        update=changes
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/predict",
        "/classify",
        "/v1/classification",
        "/v1/moderations",
        "/models/news",
        "/models/org/news",
        "/v1/models/news:predict",
        "/v1/models/news/best:predict",
        "/v2/models/news/infer",
        "/v2/models/news/versions/3/infer",
        "/tei",
        "/tei/",
        "/tei/predict",
        "/hf/models/org/news",
        "/vllm/classify",
        "/infinity/classify",
    ],
)
def test_a_post_there_wakes(path: str) -> None:
    route = find_route(path)
    assert route is not None
    assert route.inference
    assert "POST" in route.methods


@pytest.mark.parametrize(
    ("path", "page", "methods"),
    [
        ("/", Page.HOME, ("GET", "HEAD", "POST")),
        ("/docs", Page.HOME, ("GET", "HEAD")),
        ("/health", Page.HEALTH, ("GET", "HEAD")),
        ("/v2/health/live", Page.HEALTH, ("GET", "HEAD")),
        ("/ready", Page.READINESS, ("GET", "HEAD")),
        ("/v2/models/news/ready", Page.READINESS, ("GET", "HEAD")),
        ("/v1/models", Page.MODELS, ("GET", "HEAD")),
        ("/models", Page.MODELS, ("GET", "HEAD")),
        ("/v1/models/news", Page.READINESS, ("GET", "HEAD")),
        ("/v2/models/news", Page.AWAKE_ONLY, ("GET", "HEAD")),
        ("/v2/models/news/versions/1", Page.AWAKE_ONLY, ("GET", "HEAD")),
        ("/openapi.json", Page.AWAKE_ONLY, ("GET", "HEAD")),
        ("/predict", None, ("POST",)),
    ],
)
def test_what_a_get_finds(path: str, page: Page | None, methods: tuple[str, ...]) -> None:
    route = find_route(path)
    assert route is not None
    assert (route.page, route.methods) == (page, methods)


@pytest.mark.parametrize("path", ["/favicon.ico", "/v1", "/models/", "/teiX/predict", "/v2/models", "/tei/docs/x", ""])
def test_there_is_no_such_path(path: str) -> None:
    assert find_route(path) is None


def digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], None),
        ([(b"X-API-Key", b" k1 ")], b"k1"),
        ([(b"Authorization", b"Bearer k1")], b"k1"),
        ([(b"authorization", b"bearer  k1")], b"k1"),
        ([(b"Authorization", b"Bearer hub"), (b"x-api-key", b"k1")], b"k1"),
        ([(b"X-API-Key", b""), (b"Authorization", b"Bearer k1")], b"k1"),
        ([(b"X-API-Key", b"k1"), (b"X-API-Key", b"k2")], b"k1"),
        ([(b"Authorization", b"Basic k1")], None),
        ([(b"Authorization", b"Bearer ")], None),
        ([(b"Authorization", b"Bearer")], None),
    ],
)
def test_the_key_that_a_request_brings(headers: list[tuple[bytes, bytes]], key: bytes | None) -> None:
    assert presented(headers) == key


@pytest.mark.parametrize(
    ("digests", "key", "status"),
    [
        (None, None, 200),
        (None, b"any", 200),
        ((digest(b"k1"), digest(b"k2")), b"k1", 200),
        ((digest(b"k1"), digest(b"k2")), b"k2", 200),
        ((digest(b"k1"),), b"k2", 401),
        ((digest(b"k1"),), None, 401),
        ((digest(b""),), None, 401),
        ((), b"k1", 503),
        ((), None, 503),
    ],
)
def test_who_may_ask(digests: tuple[str, ...] | None, key: bytes | None, status: int) -> None:
    headers = [] if key is None else [(b"x-api-key", key)]
    if status == 200:
        check_key(digests, headers)
        return
    with pytest.raises(RefusalError) as refused:
        check_key(digests, headers)
    assert refused.value.status == status
    assert ("WWW-Authenticate" in refused.value.headers) == (status == 401)
    assert key is None or key.decode() not in refused.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Patience()),
        ({"Prefer": "respond-async"}, Patience(holds=False)),
        ({"Prefer": "wait=10, Respond-Async;x=1"}, Patience(holds=False)),
        ({"Prefer": "return=minimal"}, Patience()),
        ({"X-Wait-For-Model": "false"}, Patience(holds=False)),
        ({"X-Wait-For-Model": "True"}, Patience()),
        ({"X-Scale-Up-Timeout": "12.5"}, Patience(seconds=12.5)),
        ({"X-Scale-Up-Timeout": "12s"}, Patience(seconds=12)),
        ({"X-Scale-Up-Timeout": "soon"}, Patience()),
        ({"X-Scale-Up-Timeout": "nan"}, Patience()),
        ({"X-Scale-Up-Timeout": "-3"}, Patience()),
    ],
)
def test_what_a_request_says_of_waiting(headers: dict[str, str], expected: Patience) -> None:
    assert patience(CIMultiDictProxy(CIMultiDict(headers))) == expected


@pytest.mark.parametrize(
    ("patient", "expected", "suffices"),
    [
        (Patience(), 1e9, True),
        (Patience(holds=False), 0, False),
        (Patience(seconds=5), 5, True),
        (Patience(seconds=5), 5.1, False),
    ],
)
def test_whether_it_waits_long_enough(patient: Patience, expected: float, suffices: bool) -> None:
    assert patient.suffices(expected) is suffices


@pytest.mark.parametrize(
    ("wake_seconds", "elapsed", "rest"),
    [(None, 0, 10), (None, 8, 10), (30, 0, 30), (30, 12, 18), (30, 29.5, 1), (30, 99, 1)],
)
def test_the_rest_of_a_wake(wake_seconds: float | None, elapsed: float, rest: float) -> None:
    assert rest_of_wake(wake_seconds, elapsed) == rest


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, None),
        ({"retry_after_seconds": 7}, 7),
        ({"retry_after_seconds": 0}, 1),
        ({"retry_at": NOW + timedelta(seconds=89.5)}, 90),
        ({"retry_at": NOW - timedelta(seconds=5)}, 1),
        ({"retry_at": NOW + timedelta(seconds=3), "retry_after_seconds": 9}, 3),
    ],
)
def test_retry_after_of_an_order_that_refuses(changes: dict[str, Any], seconds: int | None) -> None:
    assert refused_until(order(**changes), NOW) == seconds


def test_the_budget_is_shared_fairly() -> None:
    budget = Budget(120)
    budget.take("a", 10)
    budget.take("a", 50)  # half, since another may come
    with pytest.raises(OverBudgetError):
        budget.take("a", 1)
    budget.take("b", 40)  # a third, now that there are two
    with pytest.raises(OverBudgetError):
        budget.take("b", 1)
    with pytest.raises(OverBudgetError):
        budget.take("c", 21)  # a share of its own, but not what is no longer there
    budget.take("c", 20)
    assert budget.used == 120
    budget.give("a", 60)
    with pytest.raises(OverBudgetError):
        budget.take("b", 1)
    budget.take("c", 20)
    budget.give("b", 40)
    budget.give("c", 40)
    assert budget.used == 0
    budget.take("d", 120)


def test_an_account_gives_back_what_it_took() -> None:
    budget = Budget(100)
    with budget.account("a") as account:
        account.take(30)
        account.take(15)
        assert budget.used == 45
        with pytest.raises(OverBudgetError):
            account.take(60)
        assert budget.used == 45
    assert budget.used == 0


def test_headers_of_a_connection_are_not_passed_on() -> None:
    kept = passed_on(
        (
            (b"Connection", b"close, X-Odd"),
            (b"X-Odd", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
            (b"X-Classifier-Model", b"news/epoch-3"),
        )
    )
    assert list(kept.items()) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Classifier-Model", "news/epoch-3")]


@pytest.mark.parametrize(
    ("status", "deleting", "expected"),
    [
        ({}, False, {"ip": None, "gone": False, "ready": False}),
        ({"podIP": "10.0.0.1", "phase": "Running"}, False, {"ip": "10.0.0.1", "gone": False, "ready": False}),
        ({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}, False,
         {"ip": "10.0.0.1", "gone": False, "ready": True}),
        ({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}, True,
         {"ip": "10.0.0.1", "gone": True, "ready": True}),
        ({"phase": "Failed"}, False, {"ip": None, "gone": True, "ready": False}),
        ({"phase": "Succeeded"}, False, {"ip": None, "gone": True, "ready": False}),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_pod(status: dict[str, Any], deleting: bool, expected: dict[str, Any]) -> None:
    metadata: dict[str, Any] = {"namespace": "team", "name": "p", "uid": "u", "resourceVersion": "1"}
    more = {"labels": {"classifiers.dev/deployment": "news", "other": "x"}, "annotations": {"large": "x"}}
    if deleting:
        more["deletionTimestamp"] = "2026-01-01T00:00:00Z"  # type: ignore[assignment]  # beside the labels
    found = trim_pod({"metadata": metadata | more, "spec": {}, "status": status})
    assert found == {"metadata": metadata, "deployment": "news", **expected}


def test_settings() -> None:
    environment = {"CLASSIFIER_NAMESPACE": "there", "POD_IP": "10.0.0.1, fd00::1", "CLASSIFIER_BUDGET_BYTES": "1000"}
    settings = GatewaySettings.from_environment({**environment, "CLASSIFIER_LINGER_SECONDS": "1.5"})
    assert (settings.namespace, settings.budget_bytes, settings.linger_seconds) == ("there", 1000, 1.5)
    assert settings.addresses == {"10.0.0.1", "fd00::1"}
    assert GatewaySettings().addresses == frozenset()
    with pytest.raises(ValueError, match=r"CLASSIFIER_POD_PORT must be a number, but is 'x'"):
        GatewaySettings.from_environment({"CLASSIFIER_POD_PORT": "x"})
