"""A client of the API server on the standard library alone: a few requests with a client certificate."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ClusterError

Object = dict[str, Any]


@dataclass(frozen=True)
class KubeApi:
    """Talks to `server` (https://host:port) with the credentials of three PEM files."""

    server: str
    ca: Path
    certificate: Path
    key: Path

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        """One request; the answer's JSON, or {"text": …} for an answer that is none. Raises HTTPError and OSError."""
        request = urllib.request.Request(self.server + path, method=method)  # noqa: S310 - always https, see server
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", content_type)
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=10) as answer:
            text = answer.read().decode()
        try:
            value: Object = json.loads(text)
        except ValueError:
            return {"text": text}
        return value

    def get(self, path: str) -> Object | None:
        """The object at a path, or None where there is none. Raises ClusterError when the server does not answer."""
        try:
            return self.request("GET", path)
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 404:
                return None
            raise ClusterError(f"The API server at {self.server} did not answer GET {path}: {error}") from None

    def apply(self, collection: str, item: Object) -> None:
        """Server-side apply of one object, as field manager `localcluster`; tried again while the server settles."""
        path = f"{collection}/{item['metadata']['name']}?fieldManager=localcluster&force=true"
        last = ""
        for _ in range(40):
            try:
                self.request("PATCH", path, item, "application/apply-patch+yaml")
            except urllib.error.HTTPError as error:
                last = error.read().decode(errors="replace")
                if error.code not in (403, 404, 409, 429, 500, 503):
                    break
            except OSError as error:
                last = str(error)
            else:
                return
            time.sleep(0.25)
        raise ClusterError(f"The API server refused {item['kind']} {item['metadata']['name']}: {last}")

    def ready(self) -> bool:
        """Whether the server says that it is ready."""
        try:
            return self.request("GET", "/readyz").get("text") == "ok"
        except OSError:
            return False
