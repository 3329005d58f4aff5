"""Builds with a Docker engine."""

from __future__ import annotations

import subprocess
from collections.abc import Container, Sequence
from pathlib import Path
from typing import IO

from ..errors import ClusterError
from ..paths import cache_dir
from ..progress import Step, say
from ..shell import run, tail
from .builder import stream
from .contexts import Plan, qualified


class Docker:
    """Docker's own store; the python image comes from its registry as for anybody."""

    def image_id(self, reference: str) -> str | None:
        try:
            return run(["docker", "image", "inspect", "--format={{.Id}}", reference]).strip()
        except ClusterError:
            return None

    def prepare(self) -> None:
        """Nothing: the engine is there."""

    def build(self, plan: Plan, wheels: Path | None, shown: Step) -> None:
        if wheels is not None and plan.image.base is None:
            say("  (a build with Docker does not see a folder of wheels; pip asks its index)")
        words = ["docker", "build", "--progress=plain", "--tag", qualified(plan.reference)]
        for name, value in plan.arguments.items():
            words += ["--build-arg", f"{name}={value}"]
        stream([*words, str(plan.context)], cache_dir() / "logs" / f"image-{plan.image.name}.log", shown)

    def save(self, reference: str, present: Container[str], sink: IO[bytes]) -> None:
        del present  # docker writes an image whole or not at all
        done = subprocess.run(["docker", "save", reference], stdout=sink, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise ClusterError(f"docker save failed:\n{tail(done.stderr.decode(errors='replace'))}")

    def tags(self, repository: str) -> list[str]:
        # Docker lists the newest first, and knows names of its own registry only without it.
        words = ["docker", "images", "--format={{.Repository}}:{{.Tag}}", repository.removeprefix("docker.io/")]
        return [qualified(name) for name in run(words).split()]

    def remove(self, references: Sequence[str]) -> None:
        if references:
            run(["docker", "image", "rm", *references])
