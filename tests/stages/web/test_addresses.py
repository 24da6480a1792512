import ipaddress
import socket

import pytest

from stages.web.addresses import AddressGuard, RefusedAddress, is_public, parse_networks

NOT_PUBLIC = """
0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.7 ::ffff:a9fe:a9fe ::ffff:0:127.0.0.1
64:ff9b::127.0.0.1 64:ff9b::10.0.0.7 64:ff9b:1::8.8.8.8 100::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1
ff02::1 2001::1 2001:0:53aa:64c:0:fbff:80ff:fffe 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 4000::1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.0.1 172.15.0.1
172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
2001:4860:4860::8888 2606:4700::1111 2a00:1450:4001::200e ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_an_address_that_leads_inwards_or_nowhere_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_whatever_python_calls_private_is_not_public_either() -> None:
    """Against the tables of the standard library, on addresses spread over the whole space."""
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    addresses += (ipaddress.IPv4Address(number) for number in range(0, 1 << 32, 65_537 * 3))
    addresses += (ipaddress.IPv6Address((number << 112) + 1) for number in range(1 << 16))
    for address in addresses:
        if not address.is_global or address.is_multicast:
            assert not is_public(address), address


def test_a_listed_address_or_network_is_allowed_in_any_spelling_and_its_neighbours_are_not() -> None:
    guard = AddressGuard(parse_networks(["10.0.0.7", "fd00::/16", "127.0.0.9/30"]))
    allowed = ("10.0.0.7", "::ffff:10.0.0.7", "fd00::1", "127.0.0.8", "127.0.0.11", "8.8.8.8")
    assert all(guard.allows(address) for address in allowed)
    assert not any(guard.allows(address) for address in ("10.0.0.8", "fd01::1", "127.0.0.12", "::1"))


def test_the_socket_of_a_refused_address_is_never_made() -> None:
    guard = AddressGuard(())
    with pytest.raises(RefusedAddress, match=r"^127\.0\.0\.1$"):
        guard.make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    with pytest.raises(RefusedAddress, match=r"^fe80::1%eth0$"):
        guard.make_socket((socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 80, 0, 2)))
    made = guard.make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80)))
    assert made.family is socket.AF_INET
    made.close()


def test_what_is_no_address_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be addresses or networks such as 10\.0\.0\.7 or .*, got 'intranet'"):
        parse_networks(["10.0.0.7", "intranet"])
