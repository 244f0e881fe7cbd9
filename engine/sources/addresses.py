"""The addresses that a download may connect to: those of the public internet, unless the recipe allows others.

In: the address of a connection about to be made. Out: a socket, or an error. The check is made when the socket is
created, after each name is resolved and for every redirect, so that a name that resolves to something else the second
time (DNS rebinding) gains nothing. Source: the IANA special-purpose address registries, by ``ipaddress``.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# Not every Python's ``is_global`` excludes these: IETF assignments, among them a cloud's metadata (192.0.0.192), and
# Azure's metadata, a public address that only its machines can reach.
_NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"), IPv6Network("3fff::/20"))
# All public IPv6 addresses are in this block. Python also calls some outside of it global that reach this machine or
# its network: old forms of IPv4 (::/96), site-local ones (fec0::/10), segments (5f00::/16).
_GLOBAL_UNICAST = IPv6Network("2000::/3")

AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class PrivateAddressError(OSError):
    """A connection is refused, because its address is not on the public internet."""


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; an IPv6 address that wraps an IPv4 address is judged by that.

    >>> is_public("8.8.8.8"), is_public("::ffff:169.254.169.254")
    (True, False)
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        wrapped = _wrapped_ipv4(found)
        if wrapped is not None:
            return is_public(str(wrapped))
        if found not in _GLOBAL_UNICAST:
            return False
    return found.is_global and not found.is_multicast and not any(found in network for network in _NOT_PUBLIC)


def public_socket(address: AddrInfo) -> socket.socket:
    """A socket for a public address; PrivateAddressError for any other. The message is the same for all addresses:
    otherwise the client would merge several refusals into an error of another type."""
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise PrivateAddressError("the address is not of the public internet")
    return socket.socket(family, kind, protocol)


def _wrapped_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
