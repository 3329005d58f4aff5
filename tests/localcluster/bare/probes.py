"""Looks from outside whether a component does its work."""

from __future__ import annotations

import socket
import urllib.request


def http_ok(url: str) -> bool:
    """Whether a URL on this machine answers 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def port_open(address: str, port: int) -> bool:
    """Whether something listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def dns_answers(server: str, name: str) -> bool:
    """Whether a DNS server knows an address for a name."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    query = b"\x4c\x43\x01\0\0\1\0\0\0\0\0\0" + question
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.sendto(query, (server, 53))
            answer = probe.recv(1024)
        except OSError:
            return False
    # Bytes 6 and 7 count the answers; the low bits of byte 3 are the error code.
    return answer[:2] == query[:2] and answer[3] & 0x0F == 0 and int.from_bytes(answer[6:8], "big") > 0
