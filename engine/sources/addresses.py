"""Which addresses a download may connect to: those of the public internet, unless the recipe allows others.

In: the address a connection is about to be made to. Out: a socket, or an error. The check stands where the socket is
made, after every name has been resolved and for every redirect, so that a name which resolves to something else the
second time (DNS rebinding) changes nothing. Source: the IANA special-purpose address registries, by ``ipaddress``.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# Not told by ``is_global`` of every Python: IETF assignments, in which a cloud keeps its metadata (192.0.0.192), and
# Azure's metadata, a public address that only its machines can reach.
_NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"), IPv6Network("3fff::/20"))
# All public IPv6 addresses are of this block. Of those outside, which Python calls global, some reach this machine or
# its network: old forms of IPv4 (::/96), site-local ones (fec0::/10), segments (5f00::/16).
_GLOBAL_UNICAST = IPv6Network("2000::/3")

AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class PrivateAddressError(OSError):
    """The connection was refused here, since the address is not of the public internet."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, seen through every form that wraps an IPv4 address.

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
    """A socket for a public address; PrivateAddressError for any other. The message is the same for all addresses, so
    that of several refused ones the error keeps its type."""
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
