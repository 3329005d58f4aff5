"""Listening sockets."""

import resource
import socket
from typing import Final

BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; an empty `host` means all addresses, of IPv6 too where the machine has it.

    Raises:
        OSError: the port cannot be had.
    """
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        except OSError as error:
            if error.errno is not None and error.strerror and "in use" in error.strerror:
                raise
            # A kernel with IPv6 and a pod without it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def allow_many_files() -> None:
    """Raises the limit of open files as far as it goes: every port and every held request is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
