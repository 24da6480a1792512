"""The guard of the network around us: no URL of a collection may lead a worker to an address that is not public.

    URL ──> name ──DNS──> addresses ──public or allowed?──> socket ──> connection
    redirect ──┘                            └──> RefusedAddress

The invariant: the address that is judged is the address that is connected to. The judgement is made on what DNS has
answered and again where the socket is made, so that no redirect, no unusual spelling of an address and no second answer
of DNS comes between the two.
"""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
AddressInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]
"""What getaddrinfo gives: family, kind, protocol, canonical name, (host, port, ...)."""

# The special-purpose registries of IANA (RFC 6890 and its updates), written out because `ipaddress.is_global` differs
# between the patch releases of Python.
NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; the metadata of cloud machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are given to anyone; loopback, unique local, link-local and multicast lie outside."""
NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them, which holds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, given up: holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that a translator will connect to."""


class RefusedAddress(OSError):
    """An address is neither public nor allowed; its text is the address."""


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Judges addresses; `allowed` are the networks that may be reached although they are not public."""

    allowed: tuple[IPNetwork, ...]

    def allows(self, address: str) -> bool:
        """Whether a numeric address may be connected to. Raises ValueError if it is none."""
        target = _target(ipaddress.ip_address(address))
        return is_public(target) or any(target in network for network in self.allowed)

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """Make the socket that will be connected to the address in `info`; RefusedAddress if it must not be."""
        family, kind, protocol, _, place = info
        address = str(place[0])
        if not self.allows(address):
            raise RefusedAddress(address)
        return socket.socket(family, kind, protocol)


def parse_networks(texts: Sequence[str]) -> tuple[IPNetwork, ...]:
    """Read addresses and networks: "10.0.0.7", "10.0.0.0/8", "fd00::/8". Raises ValueError naming the one that is none.

    A network with bits behind its prefix is taken as the network that it lies in.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise ValueError(f"must be addresses or networks such as 10.0.0.7 or fd00::/8, got {text!r}") from None
    return tuple(networks)


def is_public(address: IPAddress) -> bool:
    """Whether an address is reachable by everyone, by the registries of IANA."""
    address = _target(address)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_V4)
    return address in PUBLIC_V6 and not any(address in network for network in NOT_PUBLIC_V6)


def _target(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address is only another spelling of, mapped or translated; else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
