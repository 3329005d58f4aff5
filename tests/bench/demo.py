"""How long `make demo` takes from nothing and from warm caches, and how good the classifier is that it trains.

Run by hand: `make bench NAME=demo`. It takes down the local cluster, and clones this tree into a temporary folder with
empty caches of its own (binaries, Go modules, packages, images, material, development environment); Debian's packages
stay installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench.report import Row, write  # noqa: E402  # the path above makes the script run by itself

COLD_MINUTES, CACHED_MINUTES, ACCURACY = 20, 5, 0.92
CACHES = {"CLASSIFIER_CACHE": "cache", "GOMODCACHE": "go/mod", "GOCACHE": "go/build", "PIP_CACHE_DIR": "pip"}


def make(clone: Path, environment: dict[str, str], *target: str) -> None:
    subprocess.run(["make", *target], cwd=clone, env=environment, check=True)


def demo(clone: Path, environment: dict[str, str], name: str) -> dict[str, Any]:
    """Run the demo on a machine without a cluster; return {"total_s": …, "figures": …, "steps": {name: seconds}}."""
    make(clone, environment, "cluster-down")
    record = clone.parent / f"{name}.json"
    started = time.monotonic()
    make(clone, environment, "demo", f"DEMO_FLAGS=--record {record}")
    total = round(time.monotonic() - started, 1)
    result: dict[str, Any] = json.loads(record.read_text())
    environment_s = round(total - sum(result["steps"].values()), 1)
    return {"total_s": total, **result, "steps": {"environment": environment_s, **result["steps"]}}


def report(clone: Path, cold: dict[str, Any], cached: dict[str, Any]) -> None:
    cold_s, cached_s = cold["total_s"], cached["total_s"]
    accuracy, svm = cold["figures"]["accuracy"], cold["figures"]["svm_accuracy"]
    write(
        "demo",
        title="From a bare machine to an answer",
        command="make bench NAME=demo",
        rows=[
            Row(
                "cold_s",
                "`make demo`, nothing cached",
                cold_s,
                "s",
                f"≤ {COLD_MINUTES} min",
                cold_s <= COLD_MINUTES * 60,
            ),
            Row(
                "cached_s",
                "`make demo`, caches warm, new cluster",
                cached_s,
                "s",
                f"≤ {CACHED_MINUTES} min",
                cached_s <= 300,
            ),
            Row("accuracy", "R8, 600 rows, accuracy on 400", accuracy, "", f"≥ {ACCURACY}", accuracy >= ACCURACY),
            Row("svm_accuracy", "TF-IDF + linear SVM on the same rows", svm),
        ],
        notes=[
            "where the time goes, in seconds, cold / cached: "
            + ", ".join(f"{name} {cold['steps'][name]:.0f} / {cached['steps'][name]:.0f}" for name in cold["steps"])
        ],
        measured=clone,
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="classifier-demo-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = os.environ | {name: str(Path(folder) / path) for name, path in CACHES.items()}
        subprocess.run(["make", "cluster-down"], cwd=ROOT, check=True)
        try:
            cold = demo(clone, environment, "cold")
            report(clone, cold, demo(clone, environment, "cached"))
        finally:
            make(clone, environment, "cluster-down")
            # Go's module cache is read-only, which would keep the temporary folder from going.
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)


if __name__ == "__main__":
    main()
