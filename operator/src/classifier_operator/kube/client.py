"""One asynchronous client of the API server: JSON in, JSON out, errors as KubeError."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from classifier_operator.errors import KubeError
from classifier_operator.metrics import API_REQUESTS

Json = dict[str, Any]

MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

_REQUEST_SECONDS: Final = 30.0


class KubeClient:
    """Requests to the API server by path. The generated models are left out: they cost more than the rest together."""

    def __init__(self, configuration: kubernetes_client.Configuration) -> None:
        self._api = kubernetes_client.ApiClient(configuration)

    @classmethod
    async def connect(cls, *, connections: int = 200, kubeconfig: str | None = None) -> Self:
        """Connects with the kubeconfig named, else the pod's service account, else the kubeconfig of KUBECONFIG."""
        configuration = kubernetes_client.Configuration()
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, client_configuration=configuration
            )
        configuration.connection_pool_maxsize = connections
        configuration.proxy = configuration.proxy or _proxy(configuration.host)
        # With trust_env aiohttp would look for a proxy and a netrc anew, in a thread, for every request.
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(configuration)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        seconds: float = _REQUEST_SECONDS,
    ) -> Json:
        """Sends one request and returns the JSON object that comes back.

        Raises:
            KubeError: the answer is not 2xx, or none came.
        """
        try:
            response = await self._send(method, path, query, body, content_type, aiohttp.ClientTimeout(total=seconds))
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            API_REQUESTS.labels(method, "none").inc()
            raise KubeError(
                0, "Unreachable", f"the API server does not answer: {error or type(error).__name__}"
            ) from error
        API_REQUESTS.labels(method, str(response.status)).inc()
        if not 200 <= response.status < 300:
            raise _error(response.status, data)
        parsed: Json = json.loads(data)
        return parsed

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, idle_seconds: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Opens a watch; the iterator yields its events and ends when the server ends it or is silent for too long."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=idle_seconds)
        try:
            response = await self._send("GET", path, query, None, "application/json", timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(
                0, "Unreachable", f"the API server does not answer: {error or type(error).__name__}"
            ) from error
        try:
            if response.status != 200:
                raise _error(response.status, await response.read())
            yield _lines(response)
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None,
        content_type: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        # Not by call_api, which walks all of the body for generated models that are not there.
        headers = {"Accept": "application/json", "Content-Type": content_type}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=limit
        )
        response: aiohttp.ClientResponse = answer.response
        return response


def _proxy(address: str) -> str | None:
    """The proxy that the environment names for the API server, if any."""
    parts = urlsplit(address)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    while True:
        try:
            line = await response.content.readline()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return  # the stream broke: whoever reads it resumes from the last version
        if not line:
            return
        yield json.loads(line)


def _error(status: int, data: bytes) -> KubeError:
    try:
        parsed = json.loads(data)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return KubeError(status, "Unknown", data[:500].decode(errors="replace").strip() or "no explanation")
    return KubeError(status, str(parsed.get("reason") or "Unknown"), str(parsed.get("message") or "no explanation"))


async def wait_for_kinds(client: KubeClient, path: str, plurals: frozenset[str], *, seconds: float) -> None:
    """Waits until the API server's discovery names all `plurals` under `path` (CRDs may come a moment after us).

    Raises:
        KubeError: it does not in time.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            found = {item["name"] for item in (await client.request("GET", path)).get("resources", [])}
            if plurals <= found:
                return
            error = KubeError(404, "NotFound", f"{path} does not serve {', '.join(sorted(plurals - found))}")
        except KubeError as raised:
            error = raised
        if asyncio.get_running_loop().time() > deadline:
            raise error
        await asyncio.sleep(0.5)
