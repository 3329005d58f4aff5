"""The command line: `up`, `down`, `status`, `images`, `load`."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import kind, providers, told
from .bare import cluster
from .errors import ClusterError
from .images import commands
from .images.contexts import Recipe
from .progress import say
from .providers import Provider
from .status import show

LOCKS = Path(tempfile.gettempdir())
"""One command of a kind at a time on a machine, whichever clone of the project it is from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options.run(options)
    except ClusterError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("localcluster: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 tests/localcluster",
        description="A Kubernetes cluster for demo, tests and benchmarks: kind where a Docker engine answers, else a"
        " real node on this machine, built from Go modules. Needs only Python 3.11 and says what is missing.",
        epilog="Everything lies under $CLASSIFIER_CACHE (~/.cache/classifier-operator).",
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = verbs.add_parser("up", help="bring the cluster up, from whatever state the machine is in")
    command.add_argument(
        "--control-plane", action="store_true", help="only etcd and the API server, beside any cluster"
    )
    command.add_argument("--install", action="store_true", help="install missing Debian packages with apt-get first")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--kubeconfig", type=Path, metavar="FILE", help="use the cluster of this kubeconfig instead")
    which.add_argument("--use-current", action="store_true", help="use the cluster that KUBECONFIG names instead")
    which.add_argument("--provider", choices=[Provider.KIND, Provider.BARE], help="do not choose, use this")
    command.set_defaults(run=_up)

    command = verbs.add_parser("down", help="stop the cluster and remove it with its data; leaves nothing behind")
    command.add_argument("--control-plane", action="store_true", help="only the cluster of `up --control-plane`")
    command.set_defaults(run=_down)

    command = verbs.add_parser("images", help="build the project's images, with Docker where it is, else buildah")
    command.add_argument("names", nargs="*", metavar="NAME", help="base, operator, trainer, server; default: all")
    command.add_argument("--print", action="store_true", help="print {NAME: REFERENCE} as JSON and build nothing")
    _add_recipe(command)
    command.set_defaults(run=_images)

    command = verbs.add_parser("load", help="take images into the cluster, unless it has them")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="a reference, or a NAME as in `images`")
    _add_recipe(command)
    command.set_defaults(run=_load)

    command = verbs.add_parser("status", help="what is up, and how to use it")
    command.set_defaults(run=lambda _: show())
    return parser


def _add_recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument("--torch", choices=["cpu", "cuda"], default="cpu", help="the build of torch in the base image")
    command.add_argument(
        "--wheels",
        type=Path,
        metavar="DIR",
        help="a folder for pip to look into, for torch's CPU build; default: $CLASSIFIER_WHEELS, else a folder `wheels`"
        " in or next to the tree. Without one a large build of torch is taken, which also runs on a CPU",
    )


def _recipe(options: argparse.Namespace) -> Recipe:
    return Recipe(options.torch, commands.wheels_folder(options.wheels))


def _images(options: argparse.Namespace) -> None:
    if options.print:
        commands.print_references(options.names, _recipe(options))
        return
    with _alone("images"):
        for reference in commands.build(options.names, _recipe(options)):
            say(reference)


def _load(options: argparse.Namespace) -> None:
    with _alone("images"):
        commands.load(options.images, _recipe(options))


def _up(options: argparse.Namespace) -> None:
    started = time.monotonic()
    with _alone():
        if options.control_plane:
            at = cluster.up(control_plane=True)
            say(f"etcd and the API server are up after {time.monotonic() - started:.1f} s: KUBECONFIG={at.kubeconfig}")
            return
        if options.kubeconfig or options.use_current:
            providers.up(Provider.TOLD, options.kubeconfig, options.install)
        else:
            # A cluster that was named before stays the one.
            provider = Provider(options.provider or providers.choose())
            providers.up(provider, told.kubeconfig(), options.install)
    say(f"The cluster is up after {time.monotonic() - started:.1f} s. To use it:")
    say(f"  export KUBECONFIG={providers.kubeconfig_path()} PATH={providers.tool('kubectl').parent}:$PATH")
    say("  kubectl get nodes")


def _down(options: argparse.Namespace) -> None:
    with _alone():
        control_plane = cluster.layout(control_plane=True)
        if cluster.exists(control_plane):
            cluster.down(control_plane)
            say("etcd and the API server are gone.")
        if options.control_plane:
            return
        provider = providers.current()
        if provider is Provider.TOLD:
            told.down()
            say("The cluster that you named is forgotten; nothing in it was touched.")
        elif provider is Provider.KIND:
            kind.down()
        elif os.geteuid() != 0 and provider:
            raise ClusterError("Run `down` as root, as `up` was")
        elif provider:
            cluster.down_everywhere()
            say("The cluster is gone.")
        else:
            say("No cluster is up.")


@contextmanager
def _alone(work: str = "cluster") -> Iterator[None]:
    """Hold the machine's lock for one kind of work. The kernel frees it however we end."""
    descriptor = os.open(LOCKS / f"classifier-localcluster-{work}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another localcluster command is at work on this machine; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
