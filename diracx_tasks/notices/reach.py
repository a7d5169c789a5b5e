"""Whom a webhook may reach: never a host of our own network, unless the operator names it.

What is checked is the address that is connected to, not the name: a name may mean another address each time.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from diracx_tasks.core.errors import BadRequest, Unavailable
from diracx_tasks.core.settings import settings

LONGEST = 1000
MOST = 4
# What translates IPv4 (RFC 6052, RFC 8215): behind it any address may stand.
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class Target(NamedTuple):
    """Where a webhook is: `path` has the query as well."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_named(self) -> bool:
        """Whether the operator allows this host although it is his own."""
        known = {one.lower() for one in settings().webhook_hosts}
        return self.host in known or f"{self.host}:{self.port}" in known


def target_of(url: str) -> Target:
    """What an address of a webhook means; BadRequest when it is none, or not https without being allowed."""
    if len(url) > LONGEST:
        raise BadRequest(f"the webhook's address has {len(url)} characters: {LONGEST} are allowed")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BadRequest("the webhook's address must be written in ASCII, without spaces")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise BadRequest(f"the webhook's address cannot be read: {error}") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "%" in host:
        raise BadRequest("a webhook's address is https://host/path, without a user or password in it")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    found = Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)
    if found.scheme == "http" and not found.is_named:
        raise BadRequest(f"the webhook at {host} must be https: anybody could read and change what is sent")
    return found


def addresses_of(target: Target) -> list[str]:
    """The addresses to connect to, the best first.

    BadRequest when one of them is not for webhooks, Unavailable when there is none.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the webhook's host {target.host} is not found: {error}") from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    for address in addresses if not target.is_named else ():
        if not is_public(address):
            raise BadRequest(
                f"the webhook's host {target.host} is at {address}, which is no public address:"
                " the operator may name it in DIRACX_WEBHOOK_HOSTS"
            )
    return addresses[:MOST]


def is_public(text: str) -> bool:
    """Whether an address is one of the public network, and so are all that it may stand for."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or _embedded(address)
        if inner is not None:
            return is_public(str(inner))
        if address.sixtofour or address.teredo or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv6Address) -> IPv4Address | None:
    is_translated = any(address in network for network in TRANSLATED)
    # ::a.b.c.d, which some systems still take for the IPv4 address.
    return IPv4Address(int(address) & 0xFFFFFFFF) if is_translated or int(address) >> 32 == 0 else None
