"""What a step of the way up is, and the few that any cluster shares."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from .config import kubeconfig
from .layout import Layout


class Step(Protocol):
    """One thing that must be so on a machine with a cluster.

    `up` ensures all in order, `down` removes them backwards.
    """

    @property
    def name(self) -> str: ...

    def ensure(self) -> str:
        """Make it so if it is not, from whatever state the machine is in; a word or two on what was found or done."""

    def remove(self) -> None:
        """Leave nothing of it behind, from whatever state the machine is in."""


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file whole or not at all, and only if it would change."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)


@dataclass(frozen=True)
class StateFolder:
    """The folder that everything of this cluster is in; a stamp says for which data format."""

    layout: Layout
    data_version: str
    name: str = "state"
    STAMP: ClassVar[str] = "data-version"

    @property
    def _stamp(self) -> Path:
        return self.layout.state / self.STAMP

    def ensure(self) -> str:
        found = self._stamp.read_text() if self._stamp.exists() else None
        for folder in ("config", "logs", "run", "volumes", "pod-logs", "volume-plugins"):
            (self.layout.state / folder).mkdir(parents=True, exist_ok=True)
        self.layout.state.chmod(0o711)  # pods come through here to their volumes; keys are closed by their own modes
        write(self._stamp, self.data_version)
        return "kept" if found else "new"

    def fits(self) -> bool:
        """Whether what lies there, if anything, was written by components whose data these can read."""
        return not self.layout.state.exists() or (self._stamp.exists() and self._stamp.read_text() == self.data_version)

    def remove(self) -> None:
        shutil.rmtree(self.layout.state, ignore_errors=True)


@dataclass(frozen=True)
class Kubeconfig:
    """The file for users, with the administrator's credentials inside; it goes before the API server does."""

    layout: Layout
    name: str = "kubeconfig"

    def ensure(self) -> str:
        at = self.layout
        files = {"ca": at.certificate("ca"), "certificate": at.certificate("admin"), "key": at.key("admin")}
        write(at.kubeconfig, kubeconfig(at, "admin", {name: path.read_bytes() for name, path in files.items()}))
        return str(at.kubeconfig)

    def remove(self) -> None:
        self.layout.kubeconfig.unlink(missing_ok=True)
