"""`python3 -m classifier_server`: serves one classifier over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classifier_artifacts.errors import UserError
from classifier_server.config import ENVIRONMENT_VARIABLE, for_model, load
from classifier_server.logs import FORMAT_VARIABLE, LEVEL_VARIABLE, log_to_stderr

if TYPE_CHECKING:
    from classifier_server.server import Loader

_SWITCH_SECONDS = 0.001
_TERMINATION_LOG = "CLASSIFIER_TERMINATION_LOG"
_TERMINATION_LOG_PATH = Path("/dev/termination-log")
_TERMINATION_LOG_BYTES = 4096


def main(arguments: Sequence[str] | None = None, load_model: Loader | None = None) -> int:
    """Runs until the end of the process; its exit code: 0, 42 (mend the model or configuration), 1 (may pass).

    `load_model` stands in for loading.load_classifier, for tests.
    """
    # The first process of a container has no default signal handlers, and importing takes a moment.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parsed = _parser().parse_args(arguments)
    # One process tokenizes in its own threads; the tokenizer's would take the CPUs from the model.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Threads of torch wait awake for a moment, then asleep. By default they spin long, and as soon as another process
    # has a CPU for a moment, a batch takes ten times as long (measured: 1.9 s instead of 0.17 s); asleep at once, one
    # text of 64 tokens on two CPUs takes 22 ms instead of 12. Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # A worker between two products should not wait long for the thread that speaks HTTP.
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        log_to_stderr(parsed.log_level, parsed.log_format)
        config = for_model(parsed.model, parsed.base_model) if parsed.model else load(parsed.config)
    except UserError as error:
        return _die(str(error), 42)
    from classifier_server.loading import load_classifier
    from classifier_server.server import Options, ServeError, serve

    options = Options(parsed.host, parsed.port, parsed.internal_port, parsed.drain_seconds)
    try:
        serve(config, options, load_model or load_classifier)
    except ServeError as error:
        return _die(str(error), error.code)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("classifier_server", description="Serves one text classifier over HTTP.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help=f"YAML or JSON; without it {ENVIRONMENT_VARIABLE} is read")
    source.add_argument(
        "--model", metavar="FOLDER", help="serve this folder (or hf://org/name) without a configuration"
    )
    parser.add_argument("--base-model", metavar="FOLDER", help="with --model: the base model of an adapter")
    parser.add_argument("--host", help="address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=8080, help="the API (default: %(default)s)")
    parser.add_argument(
        "--internal-port", type=int, default=9090, help="probes, metrics and drain (default: %(default)s)"
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=5.0,
        help="after SIGTERM, answer new requests for so long before the listener closes (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        default=os.environ.get(LEVEL_VARIABLE) or "INFO",
        help=f"DEBUG, INFO (requests), WARNING or ERROR (default: INFO, or what {LEVEL_VARIABLE} says)",
    )
    parser.add_argument(
        "--log-format",
        default=os.environ.get(FORMAT_VARIABLE) or "Auto",
        help=f"JSON, Text or Auto: text on a terminal, else JSON (default: Auto, or what {FORMAT_VARIABLE} says)",
    )
    return parser


def _die(message: str, code: int) -> int:
    """Says why, where a person and the kubelet read it."""
    print(message, file=sys.stderr)
    path = Path(os.environ.get(_TERMINATION_LOG) or _TERMINATION_LOG_PATH)
    # Outside a pod there is no such file, and /dev is no place to make one.
    if _TERMINATION_LOG in os.environ or path.exists():
        with contextlib.suppress(OSError):
            path.write_bytes(message.encode()[:_TERMINATION_LOG_BYTES])
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The loader and the workers are inside torch; ending the interpreter under them can crash it.
    os._exit(code)
