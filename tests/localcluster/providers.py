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
    # Beside a node that still runs, kind is the one if it was brought up last: its kubeconfig says so.
    if kind.kubeconfig().exists() and kind.exists():
        return Provider.KIND
    if cluster.exists(cluster.layout()):
        return Provider.BARE
    return Provider.KIND if kind.exists() else None


def choose() -> Provider:
    """What `up` uses when nothing is said."""
    return current() or (Provider.KIND if docker_answers() else Provider.BARE)


def up(provider: Provider, kubeconfig: Path | None, install: bool) -> None:
    """Bring up a cluster of this provider, which is then the current one.

    `kubeconfig` names the cluster of `Provider.TOLD`: None stands for the one that KUBECONFIG names. Another provider's
    cluster that still runs is left alone.
    """
    if provider is Provider.TOLD:
        told.up(kubeconfig)
        return
    told.down()
    if provider is Provider.KIND:
        kind.up()
        return
    kind.kubeconfig().unlink(missing_ok=True)
    cluster.up(install=install)


def kubeconfig_path(control_plane: bool = False) -> Path:
    """The kubeconfig of the cluster that is up."""
    if control_plane:
        path = state_dir(control_plane=True) / "kubeconfig"
    else:
        files = (told.kubeconfig(), kind.kubeconfig(), state_dir() / "kubeconfig")
        path = next((file for file in files if file.exists()), files[-1])
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
