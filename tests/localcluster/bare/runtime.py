"""containerd, what its pods leave behind, and the one image that every pod needs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import socket
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import ClusterError
from ..shell import run, succeeds
from .layout import CGROUP, NETWORK, PAUSE_IMAGE, Layout
from .machine import cgroup_hierarchies, cgroups, kill, marked_processes, mounts_under, pod_processes, program_runs

SHIM = "containerd-shim-runc-v2"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def ctr(layout: Layout) -> list[str]:
    """containerd's own client, set to this cluster's images."""
    return ["ctr", f"--address={layout.containerd_socket}", "--namespace=k8s.io"]


def containerd_answers(layout: Layout) -> bool:
    """Whether containerd answers on its socket."""
    return layout.containerd_socket.exists() and succeeds([*ctr(layout), "version"], timeout=5)


@dataclass(frozen=True)
class PodCgroup:
    """The cgroup that all pods are in, by which their processes are known."""

    name: str = "cgroup"

    def ensure(self) -> str:
        for hierarchy in cgroup_hierarchies():
            # With version 2 kubelet wants every controller that it knows; systemd does not hand down all of them.
            for controller in ("cpu", "cpuset", "memory", "pids", "hugetlb"):
                with contextlib.suppress(OSError):
                    (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")
            folder = hierarchy / CGROUP
            folder.mkdir(exist_ok=True)
            # In version 1 a new cpuset is empty, and no process may enter it.
            for name in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy.name.startswith("cpuset") and not (folder / name).read_text().strip():
                    (folder / name).write_text((hierarchy / name).read_text())
        return "kept"

    def remove(self) -> None:
        for root in cgroups():
            for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
                _remove_cgroup(folder)
            _remove_cgroup(root)


@dataclass(frozen=True)
class Pods:
    """What pods are made of beneath containerd: shims, processes, mounts, sockets.

    `up` does nothing here: containerd's start clears what an earlier one left. `down` clears it for good.
    """

    layout: Layout
    name: str = "pods"

    def ensure(self) -> str:
        return "from containerd"

    def remove(self) -> None:
        self.clear()
        results = Path("/var/lib/cni/results")
        for result in results.glob("*"):
            # The loopback network has the same name everywhere, but the namespace's path is ours.
            if result.name.startswith(f"{NETWORK}-") or str(self.layout.run) in result.read_text(errors="replace"):
                result.unlink(missing_ok=True)
        links = Path("/var/log/containers")
        for link in links.glob("*.log"):
            if str(link.readlink() if link.is_symlink() else "").startswith(str(self.layout.state)):
                link.unlink(missing_ok=True)
        for folder in (results, results.parent, links, Path("/run/containerd/s"), Path("/run/containerd")):
            with contextlib.suppress(OSError):  # not empty: somebody else's
                folder.rmdir()

    def clear(self) -> None:
        """End every pod at once and unmount what it had. Only for when kubelet and containerd are gone."""
        shims = [process.pid for process in marked_processes() if self._is_shim(process.program, process.mark.state)]
        kill([*shims, *pod_processes()])
        for point in mounts_under(self.layout.state):
            if not succeeds(["umount", point]):
                run(["umount", "--lazy", point])
        _remove_dead_sockets(Path("/run/containerd/s"))
        # Its contents belong to processes that are gone. containerd then starts as after a reboot.
        if self.layout.run.exists():
            run(["rm", "-rf", self.layout.run])

    def _is_shim(self, program: str, state: Path) -> bool:
        return program == SHIM and state == self.layout.state


@dataclass(frozen=True)
class PauseImage:
    """The image of the process that holds a pod's namespaces: one static program, packed here."""

    layout: Layout
    name: str = "pause image"

    def ensure(self) -> str:
        reference = f"docker.io/{PAUSE_IMAGE}"
        if reference in run([*ctr(self.layout), "images", "list", "-q"]).split():
            return "kept"
        archive = self.layout.run / "pause.tar"
        archive.write_bytes(image_archive(reference, "/pause", self.layout.program("pause").read_bytes()))
        run([*ctr(self.layout), "images", "import", archive])
        archive.unlink()
        return "loaded"

    def remove(self) -> None:
        """It goes with containerd's folder."""


def image_archive(reference: str, path: str, program: bytes) -> bytes:
    """An image of one static program as `docker save` would write it; same input, same bytes."""
    layer = _tar({path.lstrip("/"): (program, 0o755)})
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), "amd64"),
            "os": "linux",
            "config": {"Entrypoint": [path], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    return _tar({name: (config, 0o644), "layer.tar": (layer, 0o644), "manifest.json": (manifest, 0o644)})


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def _remove_cgroup(folder: Path) -> None:
    """A cgroup goes a moment after its last process."""
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ClusterError(f"The cgroup {folder} is still in use: look for its processes in {folder}/cgroup.procs")


def _remove_dead_sockets(folder: Path) -> None:
    """The shims' sockets have a fixed place that another containerd may share: only dead ones go."""
    if not folder.is_dir() or program_runs("dockerd"):
        return
    for path in folder.iterdir():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
