"""What the machine must have, looked at before anything is changed; everything that is missing is said at once."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import ClusterError
from ..paths import cache_dir, state_dir
from ..progress import say, step
from ..shell import run
from . import binaries
from .machine import marked_processes, program_runs

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "mount": "mount",
    "openssl": "openssl",
}
"""Program → the Debian package that has it."""

IMAGE_PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
GIB = 1024**3
LONGEST_STATE_PATH = 68
"""kubelet puts sockets deep under it, and a socket's path has at most 107 characters."""


def cni_plugins() -> Path | None:
    """The folder with the CNI plugins, wherever the distribution puts them."""
    return next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), None)


def missing_packages(images: bool = True) -> list[str]:
    """The Debian packages that are not there, judged by their programs."""
    wanted = PACKAGES | (IMAGE_PACKAGES if images else {})
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {package for program, package in wanted.items() if shutil.which(program, path=path) is None}
    if cni_plugins() is None:
        missing.add(CNI_PACKAGE)
    return sorted(missing)


def check_node(install: bool) -> None:
    """Raise ClusterError, in one message, for everything that keeps a node from running here.

    With `install`, missing Debian packages are installed first.
    """
    packages = missing_packages()
    if packages and install and os.geteuid() == 0 and shutil.which("apt-get"):
        with step("install packages") as shown:
            shown.detail = f"apt-get install {' '.join(packages)}"
            _apt_install(packages)
            shown.result = f"installed {' '.join(packages)}"
        packages = missing_packages()
    problems = list(_machine_problems())
    if packages:
        problems.append(f"install {' '.join(packages)}: {_how_to_install(packages)}")
    problems += _build_problems(binaries.ALL)
    _raise(problems)


def check_control_plane() -> None:
    """As `check_node`, for etcd and the API server alone: these need neither root nor containerd."""
    problems = [] if shutil.which("openssl") else ["install openssl"]
    if platform.system() != "Linux":
        problems.append("run on Linux: on another system name a cluster with --kubeconfig")
    problems += _build_problems((binaries.NODE,))
    _raise(problems)


def _machine_problems() -> Iterable[str]:
    if platform.system() != "Linux":
        yield "run on Linux, or start Docker, or name a cluster with --kubeconfig"
        return
    if os.geteuid() != 0:
        yield "run as root: a node sets up mounts, links and packet rules"
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    if memory and int(memory[1]) * 1024 < 3.5 * GIB:
        yield "have at least 4 GiB of memory"
    if len(str(state_dir())) > LONGEST_STATE_PATH:
        yield f"set CLASSIFIER_CACHE to a shorter path: {state_dir()} is too long for sockets under it"
    yield from _strangers()


def _strangers() -> Iterable[str]:
    """Another Kubernetes on the machine would fight with ours over packet rules and cgroups."""
    ours = {process.pid for process in marked_processes()}
    kubelets = [pid for name in ("kubelet", "k3s", "k0s") for pid in program_runs(name) if pid not in ours]
    if kubelets:
        yield (
            f"stop the other Kubernetes node on this machine (process {kubelets[0]}),"
            " or use its cluster with --kubeconfig"
        )


def _build_problems(programs: tuple[binaries.Program, ...]) -> list[str]:
    problems = []
    missing = [program for program in programs if not program.built()]
    if missing:
        for check in (binaries.check_go, binaries.check_reach):
            try:
                check()
            except ClusterError as error:
                problems.append(str(error))
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    free, wanted = shutil.disk_usage(folder).free, (16 if missing else 8) * GIB
    if free < wanted:
        problems.append(
            f"free {(wanted - free) / GIB:.0f} GiB of disk space at {folder}: {wanted // GIB} GiB are needed"
        )
    return problems


def _how_to_install(packages: list[str]) -> str:
    if shutil.which("apt-get"):
        return f"`apt-get install --no-install-recommends {' '.join(packages)}`, or run this again with --install"
    return "these are Debian's names; other distributions have the same programs"


def _apt_install(packages: list[str]) -> None:
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    # A package that starts a service (containerd does) would need a running systemd; ours is started by ourselves.
    try:
        run(["apt-get", "update", "-qq"], env=environment)
        run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages], env=environment)
    except ClusterError as error:
        say(str(error))
        raise ClusterError(f"apt-get could not install {' '.join(packages)}: is there a network?") from None


def _raise(problems: list[str]) -> None:
    if len(problems) == 1:
        raise ClusterError(f"Before the cluster can start: {problems[0]}")
    if problems:
        raise ClusterError("Before the cluster can start:\n" + "\n".join(f"  - {problem}" for problem in problems))
