"""The API server that the integration tests run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import localcluster
from integration.schema_server import SchemaServer, schema_server


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the local cluster (`make integration` starts its control plane)."""
    path = Path(localcluster.kubeconfig_path())
    assert path.exists(), "no cluster: run make integration, which starts one"
    return path


@pytest.fixture(scope="session")
def schema(kubeconfig: Path) -> Iterator[SchemaServer]:
    """The generated CRDs on a real API server."""
    with schema_server(kubeconfig) as server:
        yield server
