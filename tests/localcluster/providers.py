"""Which cluster: the one we are told, else kind where a Docker engine answers, else a node on the bare machine."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path

from . import kind, told
from .bare import binaries, cluster
from .errors import ClusterError
from .paths import state_dir
from .shell import succeeds


class Provider(StrEnum):
    """What runs the cluster."""

    TOLD = "told"
    KIND = "kind"
    BARE = "bare"


def docker_answers() -> bool:
    """Whether a Docker engine can be used, not only its client."""
    return shutil.which("docker") is not None and succeeds(["docker", "info"])


def current() -> Provider | None:
    """What runs the cluster that is up, by what is found on the machine; None where none is."""
    if told.kubeconfig().exists():
        return Provider.TOLD
    if cluster.exists(cluster.layout()):
        return Provider.BARE
    if kind.exists():
        return Provider.KIND
    return None


def choose() -> Provider:
    """What `up` uses when nothing is said."""
    return current() or (Provider.KIND if docker_answers() else Provider.BARE)


def kubeconfig_path(control_plane: bool = False) -> Path:
    """The kubeconfig of the cluster that is up."""
    if control_plane:
        path = state_dir(control_plane=True) / "kubeconfig"
    else:
        path = told.kubeconfig() if told.kubeconfig().exists() else state_dir() / "kubeconfig"
    if not path.exists():
        flag = " --control-plane" if control_plane else ""
        raise ClusterError(f"No local cluster is up: run `python3 tests/localcluster up{flag}` first")
    return path


def tool(name: str) -> Path:
    """kubectl or helm: as built here, else from PATH."""
    built = binaries.programs_dir() / name
    if built.exists():
        return built.absolute()
    found = shutil.which(name)
    if found is None:
        raise ClusterError(
            f"{name} is not installed: install it, or run `python3 tests/localcluster up`, which builds it"
        )
    return Path(found)
