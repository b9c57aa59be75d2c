"""Decides which addresses a caller's URL may lead to: public ones, unless a setting allows more."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from graph.errors import ServiceError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
UNRESOLVED = "its name does not resolve"
PRIVATE = "it is not a public address, and not among the hosts of COMFYRAY_ALLOWED_HOSTS"
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all others are for some network's own use
REFUSED = (  # what `is_global` lets pass
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata is in there
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays, no longer in use
    ipaddress.ip_network("168.63.129.16/32"),  # the host of a virtual machine on Azure
    ipaddress.ip_network("3fff::/20"),  # documentation
)


@dataclass(eq=False)
class AddressError(ServiceError):
    """A URL whose host has no address, or one inside somebody's network."""

    status = 422
    code = "url_refused"
    template = "URL of host {host!r} is refused: {problem}."
    host: str
    problem: str


@dataclass(eq=False)
class UnresolvedError(AddressError):
    """A URL whose host has no address."""

    code = "url_unreadable"


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of `host` by the system's resolver, which also reads 2130706433 and 0x7f.1."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # UnicodeError is one
        raise UnresolvedError(host, UNRESOLVED) from error
    return [str(entry[4][0]) for entry in found]


async def public_address(host: str, port: int, resolve: Resolve = resolve) -> str:
    """One address of `host` to connect to.

    Raises:
        AddressError: it has none, or any of them is not public.
    """
    addresses = await resolve(host, port)
    if not addresses:
        raise UnresolvedError(host, UNRESOLVED)
    if not all(is_public(address) for address in addresses):
        raise AddressError(host, PRIVATE)
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address is neither private, loopback, link-local, multicast nor reserved."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_allowed(one) for one in (address, *_carried(address)))


def _allowed(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if address.version == 6 and address not in GLOBAL_UNICAST and address not in NAT64:
        return False
    return not any(address.version == net.version and address in net for net in REFUSED)


def _carried(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 one stands for: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    carried.extend(address.teredo or ())
    if address in NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]
