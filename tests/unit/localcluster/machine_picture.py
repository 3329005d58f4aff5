"""What a cluster could leave on a machine, as plain values that two moments can be compared by."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from localcluster.bare.machine import marked_processes, pod_processes

PLACES = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers")
SETTINGS = ("net/ipv4/ip_forward", "kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory")


def picture() -> dict[str, list[str]]:
    """Processes, mounts, links, routes, packet rules, cgroups, folders and kernel settings."""
    return {
        "processes": sorted(process.program for process in marked_processes()) + [str(pid) for pid in pod_processes()],
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(entry.name for entry in Path("/sys/class/net").iterdir()),
        "routes": sorted(_lines("ip", "route", "show", "table", "all")),
        "rules": sorted(_rules("iptables") + _rules("ip6tables")),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/*localcluster*")),
        "places": sorted(str(path) for place in PLACES for path in Path(place).rglob("*")),
        "settings": [f"{name}={Path('/proc/sys', name).read_text().strip()}" for name in SETTINGS],
    }


def _rules(program: str) -> list[str]:
    """Rules and chains of all tables; the empty chains that every used table has are no trace."""
    lines = _lines(f"{program}-save")
    return [f"{program} {line}" for line in lines if re.match(r"-A|:\S+ -|:\S+ DROP", line)]


def _lines(*words: str) -> list[str]:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
