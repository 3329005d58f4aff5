"""What a dialect is: how a request becomes a question for the classifier, and how answer and errors are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from classifier_server.classifier import Classified, LabelSet
from classifier_server.errors import RequestError
from classifier_server.limits import require_json
from classifier_server.tokenization import AS_TRAINED, Reading

RequestT = TypeVar("RequestT")

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a dialect may look at."""

    body: bytes
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    """Values of the path's parameters, e.g. `name`."""


@dataclass(frozen=True, slots=True)
class Query(Generic[RequestT]):
    """A request as the classifier takes it, beside the dialect's own model of it."""

    request: RequestT
    texts: Sequence[str]
    """At least one."""
    where: str
    """Where the texts stand in the request, for errors: `input`."""
    single: bool = False
    """Whether `where` is one text and no list."""
    model: str | None = None
    """The model that the caller asks for, if any."""
    reading: Reading = AS_TRAINED
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The caller's own, by label; else those of the checkpoint."""
    names_of_reading: Mapping[Literal["max_tokens", "stride"], str] = field(default_factory=dict)
    """What the dialect calls them, where it has them."""

    def place(self, row: int) -> str:
        """Where a text stands, as errors name it: `input[3]`."""
        return self.where if self.single else f"{self.where}[{row}]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says beside the classifier's."""

    request_id: str
    model: str
    """Name of the deployment."""
    checkpoint: str | None
    created: int
    """Seconds since 1970."""
    unflagged: frozenset[str] = frozenset()
    """Labels that do not make a text `flagged`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer, ready to be sent."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server tells about itself where a dialect has a way to ask."""

    names: Sequence[str]
    """What a caller may write as `model`; the deployment's name first."""
    uri: str
    checkpoint: str | None
    ready: bool
    created: int
    """When the process began, in seconds since 1970."""
    labels: LabelSet | None = None
    """None until the model is loaded, as `max_length`."""
    max_length: int | None = None
    max_queue: int = 0

    def of(self, name: str) -> str:
        """The deployment's name, where `name` is one of the model's. Raises RequestError 404."""
        if name not in self.names:
            raise unknown_model(self.names)
        return self.names[0]


def unknown_model(names: Sequence[str]) -> RequestError:
    """The refusal of a model that is not served."""
    return RequestError(404, f"This server has no such model; it serves {', '.join(names)}.", field="model")


def _no_other(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Dialect(Generic[RequestT]):
    """One way of asking. All functions are pure; `parse` raises RequestError."""

    name: str
    """In metrics."""
    title: str
    """In the documentation."""
    parse: Callable[[Incoming], Query[RequestT]]
    render: Callable[[RequestT, Classified, Reply], Rendered]
    render_error: Callable[[RequestError], bytes]
    request: Any
    """Types of request, answer and error, for the OpenAPI document."""
    response: Any
    error: Any
    note: str = ""
    """What users of the original should know, for the OpenAPI document."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Where the dialect uses another HTTP status than ours: {ours: theirs}."""
    check_headers: Callable[[Mapping[bytes, bytes]], None] = require_json
    """Raises RequestError 415."""
    accepts_model: Callable[[str], bool] = _no_other
    """Which other names are taken for the model that is served."""

    def refusal(self, error: RequestError) -> RequestError:
        """The error with the dialect's status."""
        status = self.statuses.get(error.status)
        return error if status is None else error.with_status(status)
