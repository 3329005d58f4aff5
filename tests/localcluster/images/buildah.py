"""Builds without a container engine: buildah in a store of our own, on a Debian made with mmdebstrap."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ..errors import ClusterError
from ..paths import build_store, cache_dir
from ..progress import Step, step
from ..shell import run
from .archive import pack
from .builder import stream
from .contexts import Plan

PYTHON_IMAGE = "docker.io/library/python:3.11-slim-bookworm"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip")
PYTHON_DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
# As in the official image: `python` and `pip` exist, and pip may install.
RUN ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/pip3 /usr/local/bin/pip \\
    && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
ENV LANG=C.UTF-8
CMD ["python3"]
"""
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
ENOUGH_DISK = 15 * 1024**3
"""With less free space than this the layers that no image has any more go; the next build would start from them."""


class Buildah:
    """Our own storage under the cache, so that nothing of the user's is touched."""

    def __init__(self) -> None:
        store = build_store()
        self._words = [
            "buildah",
            "--root",
            str(store / "root"),
            "--runroot",
            str(store / "run"),
            "--storage-driver=overlay",
        ]

    def image_id(self, reference: str) -> str | None:
        return next((str(image["id"]) for image in self._images() if reference in (image["names"] or ())), None)

    def prepare(self) -> None:
        missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
        if missing:
            raise ClusterError(
                f"Images are built with Docker or with buildah: install {' and '.join(missing)}"
                f" (`apt-get install --no-install-recommends {' '.join(missing)}`), or start a Docker engine"
            )
        if os.geteuid() != 0:
            raise ClusterError("Building images without Docker needs root")
        if self.image_id(_python_recipe()) is None:
            with step("python image") as shown:
                self._make_python_image(shown)
                shown.result = f"made as {PYTHON_IMAGE}"

    def build(self, plan: Plan, wheels: Path | None, shown: Step) -> None:
        words = [*self._build_words(), *_mounts(wheels), "--tag", f"docker.io/{plan.reference}"]
        for name, value in plan.arguments.items():
            words.append(f"--build-arg={name}={value}")
        stream([*words, str(plan.context)], cache_dir() / "logs" / f"image-{plan.image.name}.log", shown)

    def save(self, reference: str, present: Container[str], sink: IO[bytes]) -> None:
        folder = cache_dir() / "images" / "pushed"
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        run([*self._words, "push", "--quiet", "--disable-compression", reference, f"dir:{folder}"])
        pack(folder, reference, present, sink)
        shutil.rmtree(folder)

    def tags(self, repository: str) -> list[str]:
        named = [
            (str(image["createdatraw"]), str(name))
            for image in self._images()
            for name in image["names"] or ()
            if name.rpartition(":")[0] == repository
        ]
        return [name for _, name in sorted(named, reverse=True)]

    def remove(self, references: Sequence[str]) -> None:
        if references:
            run([*self._words, "rmi", *references])
        if shutil.disk_usage(cache_dir()).free < ENOUGH_DISK:
            run([*self._words, "rmi", "--prune"])

    def _images(self) -> list[dict[str, Any]]:
        """Every image of the store. Buildah 1.28 prints an empty store as nothing at all."""
        found: list[dict[str, Any]] = json.loads(run([*self._words, "images", "--all", "--json"]) or "null") or []
        return [{"names": None, **image} for image in found]

    def _build_words(self) -> list[str]:
        # chroot: works where containers may not be nested. Nothing is ever pulled: what is needed was made before.
        return [
            *self._words,
            "bud",
            "--isolation=chroot",
            "--network=host",
            "--pull-never",
            "--layers",
            "--format=docker",
        ]

    def _make_python_image(self, shown: Step) -> None:
        folder = cache_dir() / "images" / "python"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = ["mmdebstrap", "--variant=apt", f"--include={','.join(PACKAGES)}", SUITE, str(folder / "rootfs.tar")]
        stream(words, cache_dir() / "logs" / "python-rootfs.log", shown)
        (folder / "Dockerfile").write_text(PYTHON_DOCKERFILE)
        words = [*self._build_words(), "--tag", PYTHON_IMAGE, "--tag", _python_recipe(), str(folder)]
        stream(words, cache_dir() / "logs" / "image-python.log", shown)
        shutil.rmtree(folder)


def pip_configuration(environment: Mapping[str, str], wheels: bool) -> str:
    """The builder's pip settings as a pip.conf, mounted for the build only, so that no trace stays in the image."""
    taken = {
        "index-url": environment.get("PIP_INDEX_URL"),
        "extra-index-url": environment.get("PIP_EXTRA_INDEX_URL"),
        "timeout": environment.get("PIP_DEFAULT_TIMEOUT"),
        "cert": str(BUNDLE) if _certificates(environment) else None,
        "find-links": "/wheels" if wheels else None,
    }
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in taken.items() if value)


def _mounts(wheels: Path | None) -> list[str]:
    configuration = cache_dir() / "images" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(pip_configuration(os.environ, wheels is not None))
    configuration.chmod(0o644)
    cache = cache_dir() / "pip"
    cache.mkdir(exist_ok=True)
    mounts = [f"{configuration}:/etc/pip.conf:ro", f"{cache}:/root/.cache/pip:rw"]
    certificates = _certificates(os.environ)
    if certificates:
        mounts.append(f"{certificates}:{BUNDLE}:ro")
    if wheels is not None:
        mounts.append(f"{wheels}:/wheels:ro")
    return [f"--volume={mount}" for mount in mounts]


def _certificates(environment: Mapping[str, str]) -> str | None:
    """The bundle that this machine's clients are told to trust, on machines behind a proxy that signs for itself."""
    named = environment.get("PIP_CERT") or environment.get("SSL_CERT_FILE")
    return named if named and Path(named).is_file() else None


def _python_recipe() -> str:
    recipe = "\0".join((SUITE, platform.machine(), *PACKAGES, PYTHON_DOCKERFILE))
    return f"localhost/python-from-packages:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
