"""The API server that the integration tests run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import localcluster
from integration.schema_server import SchemaServer, schema_server


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of etcd and API server, which `make integration` starts."""
    return localcluster.kubeconfig_path(control_plane=True)


@pytest.fixture(scope="session")
def schema(kubeconfig: Path) -> Iterator[SchemaServer]:
    """The generated CRDs on a real API server."""
    with schema_server(kubeconfig) as server:
        yield server
