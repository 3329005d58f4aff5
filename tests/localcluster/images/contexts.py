"""What an image is built from, and the tag that follows from it: the same content has the same tag on every machine."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ClusterError
from ..paths import repository

PREFIX = "classifier-operator"
IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv"}


@dataclass(frozen=True)
class Image:
    """One image of the project: its short name, its folder, and the image of ours that it builds on."""

    name: str
    folder: str
    base: str | None = None


IMAGES = {
    image.name: image
    for image in (
        Image("base", "base-image"),
        Image("operator", "operator"),
        Image("trainer", "trainer-image", base="base"),
        Image("server", "server-image", base="base"),
    )
}
"""In the order in which they are built."""


@dataclass(frozen=True)
class Plan:
    """One image with its reference, as Kubernetes writes it, and the arguments of its build."""

    image: Image
    reference: str
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """What is chosen for a build beside the contents: torch for cpu or cuda, and a folder of wheels for pip."""

    torch: str = "cpu"
    wheels: Path | None = None

    def wheel_names(self) -> str:
        """The wheels as the base image's tag knows them: without torch's CPU wheel the build is another one."""
        return ",".join(sorted(path.name for path in self.wheels.glob("*.whl"))) if self.wheels else ""


def plan(recipe: Recipe, root: Path | None = None) -> dict[str, Plan]:
    """A plan for each image of the project, from the build contexts under `root` (default: the tree as it is now)."""
    root = root or repository()
    version, plans = app_version(), dict[str, Plan]()
    for image in IMAGES.values():
        arguments = {"TORCH": recipe.torch} if image.name == "base" else {}
        if image.base:
            arguments["BASE_IMAGE"] = qualified(plans[image.base].reference)
        context = root / image.folder
        wheels = {"wheels": recipe.wheel_names()} if image.name == "base" else {}
        digest = content_digest(context, {**arguments, **wheels})
        plans[image.name] = Plan(image, f"{PREFIX}/{image.name}:{version}-{digest}", context, arguments)
    return plans


def app_version() -> str:
    """The version that the chart carries."""
    chart = repository() / "helm" / "classifier-operator" / "Chart.yaml"
    text = chart.read_text() if chart.exists() else ""
    match = re.search(r"^appVersion:\s*[\"']?([^\"'\s]+)", text, flags=re.MULTILINE)
    return match[1] if match else "0.1.0"


def content_digest(folder: Path, arguments: Mapping[str, str]) -> str:
    """12 hex digits over the files of a build context (paths, contents, executable bits) and the build's arguments."""
    if not (folder / "Dockerfile").exists():
        raise ClusterError(f"There is no Dockerfile in {folder}")
    digest = hashlib.sha256()
    for path in context_files(folder):
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{executable}{content}\0".encode())
    for name, value in sorted(arguments.items()):
        digest.update(f"{name}={value}\0".encode())
    return digest.hexdigest()[:12]


def context_files(folder: Path) -> list[Path]:
    """The files of a build context, without what tools leave lying about."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not IGNORED.intersection(path.relative_to(folder).parts)
        and not any(part.endswith(".egg-info") for part in path.relative_to(folder).parts)
        and path.suffix != ".pyc"
    )


def stage(target: Path) -> Path:
    """Copy all build contexts to where nobody edits them meanwhile; returns `target`."""
    for image in IMAGES.values():
        _stage_one(repository() / image.folder, target / image.folder)
    return target


def _stage_one(folder: Path, target: Path) -> None:
    """Copy one build context, readable for any user as the image's files must be."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in context_files(folder):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def qualified(reference: str) -> str:
    """A reference as container runtimes write it: with its registry (docker.io where none is named) and its tag."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"docker.io/{reference}"
    return reference if ":" in reference.rpartition("/")[2] or "@" in reference else f"{reference}:latest"
