"""What the gateway itself answers for a deployment without pods: whoever only looks does not wake it."""

import html
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from classifier_operator.gateway.auth import check_key
from classifier_operator.gateway.head import Head
from classifier_operator.gateway.refusal import RefusalError, answer
from classifier_operator.gateway.routes import Page, Route, find_route
from classifier_operator.wire.wake import GatewayOrder

_HTML_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_HTML: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;margin:4rem auto;max-width:40rem;padding:0 1rem}}</style>
<h1>{title}</h1><p>{message}</p><p>{hint}</p></html>
"""


def answer_asleep(order: GatewayOrder, head: Head, *, waking: bool) -> web.Response | None:
    """The answer to whatever is no inference request; None: it is one, and its key is right.

    Raises:
        RefusalError: 401, 404, 405 or 503.
    """
    route = find_route(head.path)
    if route is None:
        raise RefusalError(404, "There is no such path; /docs lists those there are.", reason="NoSuchPath")
    if head.method not in route.methods:
        raise RefusalError(
            405,
            f"{head.method} is not answered here; the header Allow says what is.",
            reason="NoSuchMethod",
            headers={"Allow": ", ".join(route.methods)},
        )
    if head.method == "POST":
        check_key(order.key_digests, head.raw_headers)
        return None
    if route.keyed:
        check_key(order.key_digests, head.raw_headers)
    return _page(order, head, route, "Waking" if waking and order.answer == "Hold" else "Sleeping")


def _page(order: GatewayOrder, head: Head, route: Route, status: str) -> web.Response:
    state = {"status": status, "model": order.name, "reason": order.reason, "message": order.message}
    match route.page:
        case Page.HEALTH:
            return _json(200, {"status": status})
        case Page.MODELS:
            model = {"id": order.name, "object": "model", "created": 0, "owned_by": order.namespace}
            return _json(200, {"object": "list", "data": [model]})
        case Page.HOME:
            return _home(order, head, state)
        case Page.AWAKE_ONLY:
            raise RefusalError(503, f"Only a running server can answer this. {order.message}", reason="Refused")
        case _:
            return _json(503, {**state, "ready": False})


def _home(order: GatewayOrder, head: Head, state: Mapping[str, Any]) -> web.Response:
    hint = "A POST to one of its paths wakes it." if order.answer == "Hold" else "A request does not wake it."
    if "text/html" not in head.headers.get("Accept", ""):
        return _json(200, {**state, "hint": hint})
    title = f"{order.name} is {'waking' if state['status'] == 'Waking' else 'asleep'}"
    text = _HTML.format(title=html.escape(title), message=html.escape(order.message), hint=html.escape(hint))
    return answer(200, text.encode(), "text/html; charset=utf-8", _HTML_HEADERS)


def _json(status: int, body: Mapping[str, Any]) -> web.Response:
    return answer(status, json.dumps(body, ensure_ascii=False).encode(), "application/json")
