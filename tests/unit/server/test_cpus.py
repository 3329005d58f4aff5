from __future__ import annotations

import os
from pathlib import Path

import pytest

from classifier_server.cpus import available_cpus


@pytest.fixture
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.usefixtures("_sixteen_cores")
@pytest.mark.parametrize(
    ("limit", "cpus"), [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("", 16)]
)
def test_cgroup_v2(tmp_path: Path, limit: str, cpus: int) -> None:
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text(f"{limit}\n")
    assert available_cpus(tmp_path) == cpus


@pytest.mark.usefixtures("_sixteen_cores")
@pytest.mark.parametrize(("quota", "cpus"), [("-1", 16), ("400000", 4)])
def test_cgroup_v1(tmp_path: Path, quota: str, cpus: int) -> None:
    folder = tmp_path / "sys/fs/cgroup/cpu"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == cpus


def test_no_cgroup(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("pinned", "limit", "cpus"), [(2, "400000 100000", 2), (4, "200000 100000", 2), (3, "max 1", 3)]
)
def test_affinity_and_quota_both_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: int, limit: str, cpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(pinned)))
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text(f"{limit}\n")
    assert available_cpus(tmp_path) == cpus
