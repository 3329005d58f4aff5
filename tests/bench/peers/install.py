"""Virtual environments of the peers, in the project's cache folder: gigabytes, made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TORCH = "torch==2.13.0+cpu"
"""Of ours and of the peers alike."""


def peers_folder() -> Path:
    """Where they are kept."""
    root = os.environ.get("CLASSIFIER_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "classifier-operator") / "peers"


def ensure_environment(name: str, packages: Sequence[str], finish: Callable[[Path], None] = lambda _: None) -> Path:
    """The environment `name` with `packages`, made if it is not there yet; `finish` mends what pip left.

    A folder with torch's CPU wheel is looked for in CLASSIFIER_WHEELS and PIP_FIND_LINKS.
    """
    folder, marker = peers_folder() / name, peers_folder() / name / ".complete"
    if marker.is_file() and marker.read_text() == "\n".join(packages):
        return folder
    print(f"installing {', '.join(packages)} into {folder} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wheels = os.environ.get("CLASSIFIER_WHEELS")
    links = ["--find-links", wheels] if wheels else []
    command = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *links, *packages]
    subprocess.run(command, check=True)
    finish(folder)
    marker.write_text("\n".join(packages))
    return folder


def site_packages(environment: Path) -> Path:
    """The folder of an environment's packages."""
    return next((environment / "lib").glob("python3*")) / "site-packages"
