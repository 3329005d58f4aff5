"""What the two builders have in common, and which one is used."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Container, Sequence
from pathlib import Path
from typing import IO, Protocol

from ..errors import ClusterError
from ..progress import Step
from ..shell import tail
from .contexts import Plan

OFFLINE = re.compile(
    r"failure resolving|name resolution|network is unreachable|Connection refused|timed out", re.IGNORECASE
)
"""What apt and pip say when they reach nobody."""


class Builder(Protocol):
    """Builds images and keeps them in a store of its own. References are fully qualified."""

    def image_id(self, reference: str) -> str | None:
        """The id of an image of the store, None where there is none."""

    def prepare(self) -> None:
        """Make what every build needs."""

    def build(self, plan: Plan, wheels: Path | None, shown: Step) -> None:
        """Build one image; `wheels` is a folder for pip to look into."""

    def save(self, reference: str, present: Container[str], sink: IO[bytes]) -> None:
        """Write an image as an archive that containerd imports; blobs that are `present` there may be left out.

        `present` are the hex SHA-256 of the receiver's blobs.
        """

    def tags(self, repository: str) -> list[str]:
        """The references of one repository in the store, the newest first."""

    def remove(self, references: Sequence[str]) -> None:
        """Remove images that nothing needs any more, with the layers that only they used."""


def stream(words: Sequence[str], log: Path, shown: Step) -> None:
    """Run a build with its output in a file and its last line as the step's detail. Raises ClusterError if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as copy,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            copy.write(line)
            copy.flush()
            if line.strip():
                shown.detail = " ".join(line.split())[:90]
    if process.returncode != 0:
        text = log.read_text(errors="replace")
        network = " Is there a network?" if OFFLINE.search(text) else ""
        raise ClusterError(f"The build failed.{network} The end of {log}:\n{tail(text)}")
