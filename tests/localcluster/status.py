"""`status`: what is up, read from the machine."""

from __future__ import annotations

from pathlib import Path

from . import providers
from .bare.machine import marked_processes
from .bare.runtime import SHIM
from .errors import ClusterError
from .progress import say
from .shell import run


def show() -> None:
    """Print what runs, from which folder, and the nodes as the API server has them."""
    provider = providers.current()
    components = [process for process in marked_processes() if process.program == process.mark.component]
    if provider is None and not components:
        say("No cluster is up.")
        return
    if provider is not None:
        say(f"Cluster: {provider}")
    for process in sorted(components, key=lambda process: (process.mark.kind, process.pid)):
        say(f"  {process.mark.kind:<14} {process.mark.component:<24} process {process.pid:<8} {process.mark.state}")
    pods = sum(process.program == SHIM for process in marked_processes())
    if pods:
        say(f"  {pods} pods")
    try:
        path = providers.kubeconfig_path()
    except ClusterError:
        return
    say(f"  kubeconfig {path}")
    say(f"  kubectl    {providers.tool('kubectl')}")
    words: list[str | Path] = [providers.tool("kubectl"), f"--kubeconfig={path}", "--request-timeout=5s"]
    say(run([*words, "get", "nodes", "--output=wide"]).rstrip())
