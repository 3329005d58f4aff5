"""A cluster that the user names. It is used as it is: `down` only forgets it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .bare.step import write
from .errors import ClusterError
from .paths import cache_dir
from .progress import step
from .shell import run


def kubeconfig() -> Path:
    """Our copy of the kubeconfig of the cluster that was named; it is there as long as that cluster is the one."""
    return cache_dir() / "named-cluster.kubeconfig"


def up(path: Path | None) -> None:
    """Use the current context of this kubeconfig, or (None) of the one that KUBECONFIG names."""
    if path is None:
        named = os.environ.get("KUBECONFIG")
        if not named:
            raise ClusterError(
                "--use-current takes the cluster that KUBECONFIG names: set it, or use --kubeconfig FILE"
            )
    else:
        if not path.is_file():
            raise ClusterError(f"There is no kubeconfig at {path}")
        named = str(path)
    if shutil.which("kubectl") is None:
        raise ClusterError("kubectl is not installed: install it, a cluster of your own is used with it")
    with step("named cluster") as shown:
        text = run(["kubectl", "config", "view", "--minify", "--flatten", "--raw"], env={"KUBECONFIG": named})
        run(["kubectl", "get", "--raw", "/readyz"], env={"KUBECONFIG": named}, timeout=30)
        write(kubeconfig(), text)
        shown.result = run(["kubectl", "config", "current-context"], env={"KUBECONFIG": named}).strip()


def down() -> None:
    """Forget the cluster. Nothing in it is touched."""
    kubeconfig().unlink(missing_ok=True)
