"""The local cluster that demo, tests and benchmarks run on.

Standard library only: it works before anything is installed.
"""

from __future__ import annotations

from pathlib import Path

from . import providers
from .bare import binaries
from .bare.machine import kill, marked_processes
from .errors import ClusterError
from .paths import cache_dir, state_dir

__all__ = [
    "ClusterError",
    "bin_dir",
    "cache_dir",
    "helm_path",
    "kill",
    "kubeconfig_path",
    "kubectl_path",
    "marked_processes",
    "state_dir",
]


def kubeconfig_path(control_plane: bool = False) -> Path:
    """The kubeconfig of the running cluster. Raises ClusterError where none is up."""
    return providers.kubeconfig_path(control_plane)


def bin_dir() -> Path:
    """The folder of the programs that the cluster was built with; those of kind and of a named cluster are on PATH."""
    return binaries.programs_dir()


def kubectl_path() -> Path:
    """A kubectl: the cluster's own, else the one on PATH. Raises ClusterError where there is none."""
    return providers.tool("kubectl")


def helm_path() -> Path:
    """A Helm, likewise."""
    return providers.tool("helm")
