"""A real API server that knows the generated CRDs, under a group of their own.

The group is not the real one, so that these tests neither need nor disturb an operator or chart that is installed in
the same cluster: only the schema is under test.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

import localcluster
from classifier_operator.api import crdgen, names

Manifest = dict[str, Any]

LEAST: Final[dict[str, Manifest]] = {
    names.TRAINING_JOB_PLURAL: {
        "baseModel": {"uri": "pvc://models/smollm2"},
        "trainDataset": {"uri": "pvc://data/train.jsonl"},
    },
    names.DEPLOYMENT_PLURAL: {"model": {"uri": "pvc://models/news"}},
}
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_KINDS: Final = {kind.plural: kind for kind in crdgen.KINDS}


def merged(base: Manifest, patch: Manifest) -> Manifest:
    """`base` with `patch` over it, as a JSON merge patch: None removes."""
    result = copy.deepcopy(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class SchemaServer:
    """What the API server says to objects of the two kinds. A refusal is its sentence, an acceptance is ''."""

    def __init__(self, api: httpx.Client, kubeconfig: Path, group: str, namespace: str) -> None:
        self.group = group
        self.namespace = namespace
        self._api = api
        self._kubeconfig = kubeconfig

    def manifest(self, plural: str, spec: Manifest, name: str = "") -> Manifest:
        return {
            "apiVersion": f"{self.group}/{names.VERSION}",
            "kind": _KINDS[plural].kind,
            "metadata": {"name": name or f"x{uuid.uuid4().hex[:8]}"},
            "spec": spec,
        }

    def create(self, plural: str, spec: Manifest) -> Manifest:
        """Creates an object under a new name."""
        return _read(self._create(plural, spec))

    def refusal(self, plural: str, spec: Manifest, name: str = "") -> str:
        """What the API server says when the object is created, without creating it."""
        return _refusal(self._create(plural, spec, name, dryRun="All"))

    def change_refusal(self, plural: str, before: Manifest, after: Manifest) -> str:
        """What the API server says when an object with the one specification is given the other."""
        made = self.create(plural, before)
        path = self._path(plural, made["metadata"]["name"])
        return _refusal(self._api.put(path, json=made | {"spec": after}, params={"dryRun": "All"}))

    def get(self, plural: str, name: str) -> Manifest:
        return _read(self._api.get(self._path(plural, name)))

    def set_status(self, plural: str, name: str, status: Manifest) -> Manifest:
        return self._merge(f"{self._path(plural, name)}/status", {"status": status})

    def scale(self, plural: str, name: str, replicas: int) -> Manifest:
        return self._merge(f"{self._path(plural, name)}/scale", {"spec": {"replicas": replicas}})

    def table(self, plural: str, name: str) -> tuple[list[Manifest], list[Any]]:
        """Column definitions and cells, as `kubectl get` asks for them."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        table = _read(self._api.get(self._path(plural, name), headers=accept))
        return table["columnDefinitions"], table["rows"][0]["cells"]

    def kubectl(self, command: str, manifest: str) -> None:
        """`kubectl apply` or `kubectl diff` of a manifest as text, by server-side apply; fails where kubectl does."""
        words = [str(localcluster.kubectl_path()), command, "--server-side", "-f", "-"]
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        done = subprocess.run(words, input=manifest, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _create(self, plural: str, spec: Manifest, name: str = "", **parameters: str) -> httpx.Response:
        body = self.manifest(plural, spec, name)
        return self._api.post(self._path(plural), json=body, params={"fieldValidation": "Strict", **parameters})

    def _merge(self, path: str, patch: Manifest) -> Manifest:
        headers = {"Content-Type": "application/merge-patch+json"}
        return _read(self._api.patch(path, content=json.dumps(patch), headers=headers))

    def _path(self, plural: str, name: str = "") -> str:
        path = f"/apis/{self.group}/{names.VERSION}/namespaces/{self.namespace}/{plural}"
        return f"{path}/{name}" if name else path


def _read(response: httpx.Response) -> Manifest:
    assert response.is_success, response.text
    read: Manifest = response.json()
    return read


def _refusal(response: httpx.Response) -> str:
    if response.is_success:
        return ""
    message: str = response.json()["message"]
    assert response.status_code == 422 or "strict decoding error" in message, response.text
    return message


def _definitions(group: str) -> list[Manifest]:
    text = json.dumps([crdgen.custom_resource_definition(kind) for kind in crdgen.KINDS])
    definitions: list[Manifest] = json.loads(text.replace(f'"{names.GROUP}"', f'"{group}"'))
    for definition in definitions:
        definition["metadata"]["name"] = f"{definition['spec']['names']['plural']}.{group}"
    return definitions


@contextmanager
def api_client(kubeconfig: Path) -> Iterator[httpx.Client]:
    """A client of the API server; `kubectl proxy` does what the kubeconfig says about keys and certificates."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    # The proxy asks nobody for a key, so it listens where only this user can reach it.
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "api")
        command = [str(localcluster.kubectl_path()), "proxy", f"--unix-socket={socket}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as proxy:
            try:
                assert proxy.stdout is not None
                assert "Starting to serve" in proxy.stdout.readline()
                transport = httpx.HTTPTransport(uds=socket)
                with httpx.Client(base_url="http://localhost", transport=transport, timeout=30) as api:
                    yield api
            finally:
                proxy.terminate()


@contextmanager
def schema_server(kubeconfig: Path) -> Iterator[SchemaServer]:
    """The CRDs in a throw-away group of the cluster of `kubeconfig`; at the end they go with all their objects."""
    group = f"schema-{uuid.uuid4().hex[:8]}.example"
    definitions = _definitions(group)
    with api_client(kubeconfig) as api:
        try:
            for definition in definitions:
                _read(api.post(_CRDS, json=definition))
            for definition in definitions:
                _wait_until_established(api, definition["metadata"]["name"])
            yield SchemaServer(api, kubeconfig, group, "default")
        finally:
            for definition in definitions:
                api.delete(f"{_CRDS}/{definition['metadata']['name']}")


def _wait_until_established(api: httpx.Client, name: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = _read(api.get(f"{_CRDS}/{name}")).get("status", {}).get("conditions") or []
        conditions = {condition["type"]: condition for condition in found}
        assert "NonStructuralSchema" not in conditions, conditions["NonStructuralSchema"]["message"]
        if conditions.get("Established", {}).get("status") == "True":
            return
        time.sleep(0.05)
    raise TimeoutError(f"{name} is not established")
