"""Listening sockets: opened before anything slow is imported, closed without losing a caller."""

from __future__ import annotations

import ctypes
import os
import socket

from classifier_artifacts.errors import TransientError

_BACKLOG = 2048
_SO_ATTACH_FILTER = 26  # Linux; the socket module does not name it


def listen(host: str | None, port: int) -> socket.socket:
    """A listening socket; `host` None means all addresses, of IPv6 too where the machine has it.

    Raises TransientError where the port cannot be had.
    """
    try:
        if host is None and socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        family = socket.AF_INET6 if host and ":" in host else socket.AF_INET
        return socket.create_server((host or "", port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise TransientError(f"Port {port} cannot be opened: {os.strerror(error.errno or 0)}.") from None


def refuse_new(listener: socket.socket) -> None:
    """Lets no new connection begin, while those in the listener's backlog can still be accepted.

    Closing a listener resets the connections that the kernel has accepted and the process has not: requests without an
    answer. A packet filter on the listener drops SYN packets alone; whoever sent one asks again after a second and is
    then refused. Does nothing where the kernel has no such filters.
    """
    program = (
        (0x30, 0, 0, 13),  # load the byte with the TCP flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # take
    )
    filters = (_Filter * len(program))(*(_Filter(*line) for line in program))
    header = _Program(len(program), ctypes.cast(filters, ctypes.c_void_p))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(header))
    except OSError:
        return


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))
