"""The host's side of the pod network: kernel settings, two bridges, two rules."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ClusterError
from ..shell import run, succeeds
from .layout import BOTH_CIDRS, BRIDGE, HOST, NETWORK, POD_CIDR, SERVICE_CIDR, SERVICE_LINK, Layout
from .machine import link_exists
from .step import write

SETTINGS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
"""Pods reach the outside through the host; a reply between two pods on the bridge passes the service's translation."""

TOUCHED_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""kubelet and kube-proxy change these without being asked; they are put back as well."""

COMMENT = ["-m", "comment", "--comment", NETWORK]
RULES = (
    ("nat", "POSTROUTING", ["-s", POD_CIDR, "!", "-d", BOTH_CIDRS, *COMMENT, "-j", "MASQUERADE"]),
    ("filter", "FORWARD", ["-i", BRIDGE, *COMMENT, "-j", "ACCEPT"]),
    ("filter", "FORWARD", ["-o", BRIDGE, *COMMENT, "-j", "ACCEPT"]),
)


@dataclass(frozen=True)
class KernelSettings:
    """Forwarding on; what was there before is written down, and put back when the cluster goes."""

    layout: Layout
    name: str = "kernel settings"

    @property
    def _before(self) -> Path:
        return self.layout.state / "kernel-settings-before.json"

    def ensure(self) -> str:
        if not _setting("net/bridge/bridge-nf-call-iptables").exists():
            succeeds(["modprobe", "br_netfilter"])
        if not self._before.exists():
            paths = (*SETTINGS, *TOUCHED_BY_KUBELET)
            before = {path: _setting(path).read_text().strip() for path in paths if _setting(path).exists()}
            write(self._before, json.dumps(before, indent=2))
        for path, value in SETTINGS.items():
            if not _setting(path).exists():
                raise ClusterError(f"The kernel has no {path.replace('/', '.')}: load the module br_netfilter")
            _setting(path).write_text(value)
        return "set"

    def remove(self) -> None:
        if self._before.exists():
            for path, value in json.loads(self._before.read_text()).items():
                with suppress(OSError):
                    _setting(path).write_text(value)


@dataclass(frozen=True)
class Links:
    """The pods' bridge with the host's address, and a bridge without members that packets for services are routed to.

    Thus a packet for a service that is not translated ends on the machine and never leaves it.
    """

    name: str = "network links"

    def ensure(self) -> str:
        if link_exists(BRIDGE) and f"{HOST}/" not in run(["ip", "-4", "addr", "show", "dev", BRIDGE]) and _members():
            raise ClusterError(f"Another cluster uses the link {BRIDGE}: stop it, or name it with --kubeconfig")
        made = [link for link in (BRIDGE, SERVICE_LINK) if not link_exists(link)]
        for link in made:
            run(["ip", "link", "add", link, "type", "bridge"])
        run(["ip", "addr", "replace", f"{HOST}/16", "dev", BRIDGE])
        for link in (BRIDGE, SERVICE_LINK):
            run(["ip", "link", "set", link, "up"])
        run(["ip", "route", "replace", SERVICE_CIDR, "dev", SERVICE_LINK, "src", HOST])
        return f"made {', '.join(made)}" if made else "kept"

    def remove(self) -> None:
        for link in (*_members(), BRIDGE, SERVICE_LINK):
            if link_exists(link):
                # A pod's end goes with its namespace, which the kernel may be removing at this moment.
                succeeds(["ip", "link", "delete", link])


@dataclass(frozen=True)
class Rules:
    """Packets of pods may pass and leave under the host's address. Removing takes kube-proxy's chains along."""

    name: str = "packet rules"

    def ensure(self) -> str:
        for table, chain, rule in RULES:
            if not succeeds(["iptables", "-w", "-t", table, "-C", chain, *rule]):
                run(["iptables", "-w", "-t", table, "-I", chain, *rule])
        return "set"

    def remove(self) -> None:
        for program in ("iptables", "ip6tables"):
            with suppress(ClusterError):
                dump = run([f"{program}-save"])
                commands = removal(dump)
                if commands:
                    run([f"{program}-restore", "-w", "--noflush"], stdin=commands)


def removal(dump: str) -> str:
    """The `iptables-restore --noflush` input that removes, from an `iptables-save` dump, what a cluster put there.

    That is kube-proxy's chains with every rule that jumps to one, and the rules of ours by their comment.
    """
    lines: list[str] = []
    for table, body in re.findall(r"^\*(\w+)\n(.*?)^COMMIT$", dump, flags=re.MULTILINE | re.DOTALL):
        chains = re.findall(r"^:(KUBE-\S+)", body, flags=re.MULTILINE)
        rules = re.findall(
            r"^-A ((?!KUBE-)\S+ .*(?:-j KUBE-\S+|--comment \"?" + NETWORK + r"\b).*)$", body, re.MULTILINE
        )
        if chains or rules:
            deletions = [*(f"-D {rule}" for rule in rules), *(f"-F {chain}" for chain in chains)]
            lines += [f"*{table}", *deletions, *(f"-X {chain}" for chain in chains), "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def _members() -> list[str]:
    folder = Path("/sys/class/net", BRIDGE, "brif")
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _setting(path: str) -> Path:
    return Path("/proc/sys", path)
