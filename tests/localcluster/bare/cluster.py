"""The whole node, or etcd and the API server alone: one ordered list of steps. `up` goes forwards, `down` backwards."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..errors import ClusterError
from ..kubeapi import KubeApi
from ..paths import state_dir
from ..progress import say, step
from . import binaries, config, flags, needs
from .cluster_objects import ClusterObjects, NodeReady
from .layout import DOMAIN, HOST, Layout
from .machine import cgroups, link_exists, marked_processes, mounts_under
from .network import KernelSettings, Links, Rules
from .pki import Certificates
from .probes import dns_answers, http_ok, port_open
from .process import Component
from .runtime import PauseImage, PodCgroup, Pods, containerd_answers
from .step import Kubeconfig, StateFolder, Step, write

DATA_VERSION = f"1 kubernetes {binaries.KUBERNETES.rpartition('.')[0]}\n"
"""A cluster whose data were written by another minor version starts afresh."""


def layout(control_plane: bool = False) -> Layout:
    """Where this user's cluster lives, whether it runs or not."""
    plugins = needs.cni_plugins() or needs.CNI_FOLDERS[0]
    return Layout(state_dir(control_plane), binaries.programs_dir(), plugins, node=not control_plane)


def steps(at: Layout) -> list[Step]:
    """Everything that a running cluster consists of, in the order in which it comes to be."""
    api = client(at)
    state: list[Step] = [StateFolder(at, DATA_VERSION), Certificates(at)]
    control_plane: list[Step] = [
        Component(at, "etcd", flags.etcd(at), lambda: port_open("127.0.0.1", at.etcd_port)),
        Component(at, "kube-apiserver", flags.kube_apiserver(at), api.ready),
        Kubeconfig(at),
    ]
    if not at.node:
        return [*state, *control_plane]
    kubelet = Component(
        at,
        "kubelet",
        flags.kubelet(at),
        lambda: http_ok("http://127.0.0.1:10248/healthz"),
        files={"kubelet.json": config.kubelet_config(at), **_kubeconfig(at, "kubelet")},
    )
    pods = Pods(at)

    def clear() -> None:
        # It must not see its volumes unmounted beneath it; its own step starts it again.
        kubelet.remove()
        pods.clear()
        at.run.mkdir(exist_ok=True)

    return [
        *state,
        KernelSettings(at),
        Links(),
        Rules(),
        PodCgroup(),
        *control_plane,
        Component(
            at,
            "kube-controller-manager",
            flags.kube_controller_manager(at),
            lambda: True,
            files=_kubeconfig(at, "kube-controller-manager"),
        ),
        Component(
            at, "kube-scheduler", flags.kube_scheduler(at), lambda: True, files=_kubeconfig(at, "kube-scheduler")
        ),
        ClusterObjects(api),
        pods,
        Component(
            at,
            "containerd",
            flags.containerd(at, shutil.which("containerd") or "/usr/bin/containerd"),
            lambda: containerd_answers(at),
            files={"containerd.toml": config.containerd_config(at), "cni/10-pods.conflist": config.cni_conflist(at)},
            before_start=clear,
        ),
        PauseImage(at),
        kubelet,
        Component(
            at,
            "kube-proxy",
            flags.kube_proxy(at),
            lambda: http_ok("http://127.0.0.1:10256/livez"),
            files={"kube-proxy.json": config.kube_proxy_config(at), **_kubeconfig(at, "kube-proxy")},
        ),
        Component(
            at,
            "coredns",
            flags.coredns(at),
            lambda: dns_answers(HOST, f"kubernetes.default.svc.{DOMAIN}"),
            files={"Corefile": config.corefile(at, _nameservers()), **_kubeconfig(at, "coredns")},
        ),
        Component(
            at,
            "storage-provisioner",
            flags.storage_provisioner(at),
            lambda: True,
            files=_kubeconfig(at, "storage-provisioner"),
        ),
        NodeReady(api),
    ]


def client(at: Layout) -> KubeApi:
    """A client with the rights of the administrator."""
    return KubeApi(at.server, at.certificate("ca"), at.certificate("admin"), at.key("admin"))


def up(control_plane: bool = False, install: bool = False) -> Layout:
    """Bring the cluster up from whatever state the machine is in."""
    if control_plane:
        needs.check_control_plane()
    else:
        needs.check_node(install)
    binaries.ensure((binaries.NODE,) if control_plane else binaries.ALL)
    at = layout(control_plane)
    _evict_others(at)
    _start_afresh_if_unfit(at)
    try:
        _ensure(steps(at))
    except ClusterError as error:
        if not _was_up(at).exists():
            raise
        say(f"The data of the earlier cluster are of no use ({str(error).splitlines()[0]}); starting afresh.")
        down(at)
        _ensure(steps(at))
    write(_was_up(at), "")
    return at


def down(at: Layout) -> None:
    """Leave nothing of a cluster behind: processes, mounts, links, rules, data."""
    with step("down") as shown:
        for part in reversed(steps(at)):
            shown.detail = f"removing {part.name}"
            part.remove()
        shown.result = "nothing is left"


def down_everywhere() -> None:
    """Remove the node of this machine, whichever folder it lives in."""
    at = layout()
    _evict_others(at)
    down(at)


def exists(at: Layout) -> bool:
    """Whether anything of a cluster of this kind and place is on the machine."""
    if at.state.exists() or any(process.mark.state == at.state for process in marked_processes()):
        return True
    return at.node and (bool(cgroups()) or link_exists("svc0"))


def _ensure(parts: list[Step]) -> None:
    for part in parts:
        with step(part.name) as shown:
            shown.result = part.ensure()


def _was_up(at: Layout) -> Path:
    """The mark of data that served a cluster once: when it does not come up again they may be why, and are given up."""
    return at.state / "was-up"


def _start_afresh_if_unfit(at: Layout) -> None:
    if not StateFolder(at, DATA_VERSION).fits():
        say("The data of the earlier cluster are of another version; starting afresh.")
        down(at)


def _evict_others(at: Layout) -> None:
    """There is one cluster of a kind on a machine: one that lives in another folder, alive or cut off, makes way."""
    for state in other_states(at):
        say(f"Another cluster of this project is in {state}; it makes way for this one.")
        down(Layout(state, at.programs, at.cni_plugins, node=at.node))


def other_states(at: Layout) -> list[Path]:
    """The folders of clusters of the same kind that left processes or mounts on this machine, other than `at`."""
    found = {process.mark.state for process in marked_processes() if process.mark.kind == at.kind}
    if at.node:
        found |= {state for point in mounts_under(Path("/")) if (state := _state_of(point))}
    return sorted(state for state in found if state != at.state)


def _state_of(point: Path) -> Path | None:
    """The state folder of a cluster of ours that a mount point lies in; None for a mount of others."""
    match = re.fullmatch(r"(/.+)/(?:run/containerd|kubelet)(?:/.+)?", str(point))
    return Path(match[1]) if match and (Path(match[1]) / StateFolder.STAMP).exists() else None


def _kubeconfig(at: Layout, user: str) -> dict[str, str]:
    return {f"{user}.kubeconfig": config.kubeconfig(at, user)}


def _nameservers() -> tuple[str, ...]:
    """The machine's own name servers, without those that only it can ask itself on its loopback resolver's behalf."""
    path = Path("/etc/resolv.conf")
    text = path.read_text() if path.exists() else ""
    return tuple(re.findall(r"^nameserver\s+(\S+)", text, flags=re.MULTILINE))
