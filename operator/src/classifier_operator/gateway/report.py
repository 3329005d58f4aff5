"""Port 9090: where it listens, what it counts, whether it is well."""

import json
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from classifier_operator.gateway.refusal import RefusalError, answer
from classifier_operator.wire.gateway import REPORT_PATH, GatewayReport

_JSON: Final = "application/json"


class Report:
    """Answers the operator, Prometheus and the kubelet.

    Args:
        ports: `uid_hash` of the deployment by port.
        state: a word; `Ready` if requests may be led here.
    """

    def __init__(self, ports: Callable[[], dict[str, str]], state: Callable[[], str]) -> None:
        self._ports = ports
        self._state = state

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answers one request."""
        match request.path:
            case path if path == REPORT_PATH:
                body = GatewayReport(ports=self._ports()).encode().encode()
                return answer(200, body, _JSON, close=False)
            case "/metrics":
                return answer(200, generate_latest(), CONTENT_TYPE_LATEST, close=False)
            case "/healthz":
                return answer(200, b'{"status":"Alive"}', _JSON, close=False)
            case "/ready":
                state = self._state()
                body = json.dumps({"status": state}).encode()
                return answer(200 if state == "Ready" else 503, body, _JSON, close=False)
            case _:
                return RefusalError(404, "There is no such path.", reason="NoSuchPath").response()
