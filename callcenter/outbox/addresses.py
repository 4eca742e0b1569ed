"""Where a message may be sent: a URL that somebody typed must not reach into our own network.

A name is resolved, every address of it is judged, and the connection goes to an address that was
judged: a name that resolves differently a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST_ADDRESSES = 3  # of one name, tried in turn

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# Databases, brokers, caches, search and container daemons: no receiver of webhooks lives there.
_NEVER_PORTS = frozenset({
    1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5433, 5672, 5900, 5984, 6000,
    6379, 6380, 6443, 8125, 9042, 9092, 9200, 9300, 10250, 11211, 27017,
})  # fmt: skip
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
        "fc00::/7", "::1/128",
    )
]  # fmt: skip
# Where clouds keep the credentials of their machines (169.254.169.254 is link-local).
_METADATA = {ipaddress.ip_address(one) for one in ("100.100.100.200", "fd00:ec2::254")}
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
# Inside it: addresses that carry an IPv4 address (6to4, Teredo), documentation, benchmarks.
_NOT_UNICAST_V6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
# Assigned for protocols, and 6to4 relays: older Pythons call some of them global.
_NOT_UNICAST_V4 = [ipaddress.IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24")]


class Refused(ValueError):
    """A URL that is not sent to; the message is a sentence that says why."""


class Unresolved(OSError):
    """The name could not be resolved now; later it may be."""


@dataclass(frozen=True)
class Place:
    """A URL taken apart."""

    is_https: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True)
class Target(Place):
    """A place with its addresses, all of them judged."""

    addresses: tuple[str, ...]


def parse(url: str) -> Place:
    """Take a URL apart, without asking anybody; raise Refused."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Refused("The URL has a character that does not belong there.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or ""), parts.port
    except ValueError as error:
        raise Refused("This is no URL.") from error
    if parts.scheme not in {"http", "https"}:
        raise Refused("The URL must begin with https://.")
    if "@" in parts.netloc:
        raise Refused("The URL must not carry a user name or a password.")
    if parts.fragment:
        raise Refused("The URL must not have a part after #.")
    is_https = parts.scheme == "https"
    port = port if port is not None else (443 if is_https else 80)
    if (port < 1024 and port not in {80, 443}) or port in _NEVER_PORTS:
        raise Refused(f"Port {port} is not one for webhooks.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(is_https, _host(host), port, path)


def _host(host: str) -> str:
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError as error:
            raise Refused("The host is no IPv6 address.") from error
        if address.scope_id:
            raise Refused("The host is an IPv6 address of one network interface.")
        return str(address)
    if not _NAME.fullmatch(host) or len(host) > 253:
        raise Refused("The URL has no proper host name.")
    host = host.rstrip(".")
    if _NUMBER.fullmatch(host.rsplit(".", 1)[-1]):
        # 0177.1, 2130706433 and 0x7f.1 are all 127.0.0.1 to a resolver.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise Refused("Write the IPv4 address as four plain numbers.") from error
    return host


def resolve(url: str, *, allow_private: bool) -> Target:
    """Return where `url` leads now; raise Refused, or Unresolved when nobody knows.

    One address that is not to be sent to refuses the whole name. Plain http is for private
    addresses only, and those need `allow_private`.
    """
    place = parse(url)
    found = _look_up(place.host, place.port)
    for address in found:
        judge(address, allow_private=allow_private)
    if not place.is_https and any(is_public(address) for address in found):
        raise Refused("Plain http would show the message to others on the way: use https.")
    chosen = tuple(str(address) for address in found[:MOST_ADDRESSES])
    return Target(place.is_https, place.host, place.port, place.path, chosen)


def _look_up(host: str, port: int) -> list[IPAddress]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolved(f"The name {host} cannot be resolved.") from error
    found = [ipaddress.ip_address(row[4][0]) for row in rows]
    if not found:
        raise Unresolved(f"The name {host} has no address.")
    return list(dict.fromkeys(found))


def judge(address: IPAddress, *, allow_private: bool) -> None:
    """Raise Refused for an address that is neither public nor allowed as a private one."""
    if is_public(address):
        return
    is_private = address not in _METADATA and any(address in network for network in _PRIVATE)
    if is_private and allow_private:
        return
    what = "a private" if is_private else "no public"
    raise Refused(f"The host leads to {address}, {what} address.")


def is_public(address: IPAddress) -> bool:
    """Whether this is an ordinary address of the Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        return (
            address.is_global
            and address in _UNICAST_V6
            and not any(address in network for network in _NOT_UNICAST_V6)
        )
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_UNICAST_V4)
    )
