"""How many CPUs this process may really use: the container's quota and affinity, not the host's cores."""

from __future__ import annotations

import os
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """At least 1; a quota of 1.5 CPUs counts as 1, for a thread more would be throttled. `root` is for tests."""
    quota = _quota_v2(root) or _quota_v1(root)
    affinity = len(os.sched_getaffinity(0))
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def _quota_v2(root: Path) -> float | None:
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return float(quota) / float(period) if quota.isdigit() and period.isdigit() else None


def _quota_v1(root: Path) -> float | None:
    folder = root / "sys/fs/cgroup/cpu"
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return float(quota) / float(period) if quota.isdigit() and period.isdigit() and int(quota) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
