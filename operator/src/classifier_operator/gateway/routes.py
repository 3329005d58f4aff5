"""Which paths there are, as far as the gateway must know them while no pod is there to ask. Pure."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Page(Enum):
    """What a GET is answered with while the deployment sleeps."""

    HOME = "says that it sleeps, to a person"
    HEALTH = "200: somebody is there"
    READINESS = "503: no pod is"
    MODELS = "names the model, as OpenAI does"
    AWAKE_ONLY = "503: only a pod can tell"


@dataclass(frozen=True, slots=True)
class Route:
    """A path that servers answer.

    Attributes:
        page: what GET gets; None: GET is not allowed.
        inference: POST classifies something: it wakes.
        keyed: GET needs a key where the deployment has keys.
    """

    page: Page | None = None
    inference: bool = False
    keyed: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be asked."""
        return (*(("GET", "HEAD") if self.page is not None else ()), *(("POST",) if self.inference else ()))


_INFERENCE: Final = Route(inference=True)
_EXACT: Final = {
    "/": Route(Page.HOME, inference=True),
    "/docs": Route(Page.HOME),
    "/health": Route(Page.HEALTH),
    "/v2/health/live": Route(Page.HEALTH),
    "/ready": Route(Page.READINESS),
    "/v2/health/ready": Route(Page.READINESS),
    "/v1/models": Route(Page.MODELS, keyed=True),
    "/models": Route(Page.MODELS, keyed=True),
    "/openapi.json": Route(Page.AWAKE_ONLY),
    "/info": Route(Page.AWAKE_ONLY),
    "/metrics": Route(Page.AWAKE_ONLY),
    "/v2": Route(Page.AWAKE_ONLY),
    "/v1/classification": _INFERENCE,
    "/v1/moderations": _INFERENCE,
    "/predict": _INFERENCE,
    "/classify": _INFERENCE,
}
# A model's name may hold slashes: `name/checkpoint`, or its address.
_PATTERNS: Final = (
    (re.compile(r"/models/.+"), _INFERENCE),
    (re.compile(r"/v1/models/.+:predict"), _INFERENCE),
    (re.compile(r"/v1/models/.+"), Route(Page.READINESS)),
    (re.compile(r"/v2/models/.+/infer"), _INFERENCE),
    (re.compile(r"/v2/models/.+/ready"), Route(Page.READINESS)),
    (re.compile(r"/v2/models/.+"), Route(Page.AWAKE_ONLY, keyed=True)),
)
_DIALECT: Final = re.compile(r"/(tei|hf|vllm|infinity)(?=/|$)")
"""Every dialect is there under a prefix of its own, too."""


def find_route(path: str) -> Route | None:
    """The route of a path; None: there is no such path."""
    if prefix := _DIALECT.match(path):
        path = path[prefix.end() :] or "/"
    if found := _EXACT.get(path):
        return found
    return next((route for pattern, route in _PATTERNS if pattern.fullmatch(path)), None)
