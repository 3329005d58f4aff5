"""Builds the programs from Go modules, once for each state of their inputs, into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import ClusterError
from ..paths import cache_dir
from ..progress import Step, step
from ..shell import succeeds, tail
from .machine import marked_processes

SOURCES = Path(__file__).resolve().parent
KUBERNETES = "v1.34.4"
COMPONENTS = (
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "storage-provisioner",
)
REACH = "go.etcd.io/etcd/server/v3"
"""The module that is asked for to see whether the Go module proxy can be reached: it is needed anyway, and small."""


@dataclass(frozen=True)
class Program:
    """One program to build: out of our own module (`packages`), or a module of its own by `install` path@version."""

    name: str
    packages: tuple[str, ...] = ()
    install: str = ""
    links: tuple[str, ...] = ()

    def folder(self) -> Path:
        return cache_dir() / "bin" / f"{self.name}-{self.digest()}"

    def digest(self) -> str:
        """12 hex digits over everything that the program is made of."""
        parts = [self.install, KUBERNETES, platform.machine(), *self.links]
        if self.packages:
            for path in sorted(
                [*SOURCES.glob("*.go"), *SOURCES.glob("*/*.go"), SOURCES / "go.mod", SOURCES / "go.sum"]
            ):
                parts += [str(path.relative_to(SOURCES)), path.read_text()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def built(self) -> bool:
        return self.folder().is_dir()


NODE = Program("node", packages=(".", "./pause"), links=COMPONENTS)
HELM = Program("helm", install="helm.sh/helm/v4/cmd/helm@v4.3.1")
ALL = (NODE, HELM)
KEEP = 3


def programs_dir() -> Path:
    """The folder in which the programs of this version of the tree stand side by side."""
    digest = hashlib.sha256("\0".join(program.digest() for program in ALL).encode()).hexdigest()[:12]
    return cache_dir() / "bin" / f"all-{digest}"


def ensure(programs: tuple[Program, ...]) -> Path:
    """Build what is missing of these programs and link all into one folder, which is returned."""
    missing = [program for program in programs if not program.built()]
    if missing:
        check_go()
        check_reach()
    for program in missing:
        with step(f"build {program.name}") as shown:
            _build(program, shown)
            shown.result = "built"
    if missing:
        _prune(missing)
    folder = programs_dir()
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs:
        for built in program.folder().iterdir():
            link, target = folder / built.name, Path("..", program.folder().name, built.name)
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)
    return folder


def _prune(built: list[Program]) -> None:
    """Of a program that was just built keep the newest versions: other clones of the project may stand on one."""
    for program in built:
        versions = sorted(program.folder().parent.glob(f"{program.name}-*"), key=lambda path: path.stat().st_mtime)
        for version in versions[:-KEEP]:
            if version.name in "\0".join(_programs_in_use()):
                continue
            shutil.rmtree(version, ignore_errors=True)


def _programs_in_use() -> list[str]:
    """What the running components were started from."""
    found = []
    for process in marked_processes():
        with contextlib.suppress(OSError):
            found.append(str(Path(f"/proc/{process.pid}/exe").readlink()))
    return found


def check_go() -> None:
    """Raise ClusterError unless there is a Go that builds our module (an older one fetches the right one itself)."""
    if shutil.which("go") is None:
        raise ClusterError("Go is not installed: install Go 1.25 or newer, which the cluster's programs are built with")


def check_reach() -> None:
    """Raise ClusterError at once when modules have to be fetched and cannot be."""
    if shutil.which("go") is None:
        return
    version = re.search(rf"^\s*{re.escape(REACH)} (\S+)", (SOURCES / "go.mod").read_text(), flags=re.MULTILINE)
    if version is None or not succeeds(["go", "mod", "download", f"{REACH}@{version[1]}"], timeout=30):
        raise ClusterError(
            "The Go module proxy cannot be reached, and the cluster's programs are not built yet: connect to the"
            f" network (or set GOPROXY), or take over {cache_dir() / 'bin'} from a machine that has them"
        )


def _build(program: Program, shown: Step) -> None:
    partial = program.folder().with_name(f"{program.folder().name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags={' '.join(_linker_flags())}"]
    if program.install:
        words = ["go", "install", *flags, program.install]
    else:
        words = ["go", "build", *flags, "-o", f"{partial}/", *program.packages]
    _run_go(words, partial, shown)
    for link in program.links:
        (partial / link).symlink_to("bare")
    partial.rename(program.folder())


def _linker_flags() -> list[str]:
    """Without a version every version check in the components sees v0.0.0."""
    package = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return ["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in values.items())]


def _run_go(words: list[str], target: Path, shown: Step) -> None:
    """Run go with its packages counted as progress: -v names each package once it is compiled."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(target)}
    words = [words[0], words[1], "-v", *words[2:]]
    lines: list[str] = []
    with subprocess.Popen(
        words, cwd=SOURCES, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        fetched = compiled = 0
        for line in process.stderr:
            lines.append(line)
            fetched += line.startswith("go: downloading")
            compiled += not line.startswith("go: ")
            shown.detail = f"{fetched} modules fetched, {compiled} packages compiled"
    if process.returncode != 0:
        said = tail("".join(line for line in lines if not line.startswith("go: downloading")))
        raise ClusterError(f"`{' '.join(words[:2])}` of {target.name.removesuffix('.partial')} failed:\n{said}")
