"""Refuses link-local addresses: behind them a cloud tells a machine about itself, its credentials included."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from classifier_artifacts.errors import UserError

_REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",  # metadata of AWS by IPv6
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "0.0.0.0/32",
    )
]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_refused(address: str) -> bool:
    """Whether an address, as a resolver gives it, must not be connected to, also inside an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return any(found.version == network.version and found in network for network in _REFUSED)


def check_endpoint(url: str, name: str) -> None:
    """Looks at the address of a service that the environment names.

    Raises:
        UserError: it is link-local.
    """
    host = urlsplit(url).hostname
    if host is None:
        raise UserError(f"{name} is '{url}': write https://host.")
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return  # the client says better why it cannot be reached
    if any(map(is_refused, found)):
        raise UserError(f"{name} leads to a link-local address, which is refused: name the service itself.")
