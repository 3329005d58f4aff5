"""`python -m classifier_operator.gateway`: stands in for servers that sleep. All settings are in the environment."""

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the gateway until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m classifier_operator.gateway",
        description="Stands in for server pods that sleep: holds requests, wakes the deployment, forwards.",
        epilog="Settings come from the environment (CLASSIFIER_NAMESPACE, POD_IP, …): classifier_operator.gateway"
        ".settings names all of them. Exit codes: 0 after SIGTERM, when every request has been answered; 1 otherwise.",
    )
    parser.parse_args(arguments)
    # Not before the arguments are parsed: --help needs none of it.
    import asyncio

    from classifier_operator.gateway.logs import log_to_stderr
    from classifier_operator.gateway.process import run
    from classifier_operator.gateway.settings import GatewaySettings

    log_to_stderr()
    try:
        settings = GatewaySettings.from_environment()
    except ValueError as error:
        print(f"classifier-gateway: {error}", file=sys.stderr)
        return 1
    return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
