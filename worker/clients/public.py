"""Refuse URLs that lead to what is not public: they come from records, and who wrote those may not be trusted.

OWASP's Server-Side Request Forgery Prevention Cheat Sheet is the reference. The name is resolved here and once more for the
connection; a name whose answers change between the two gets no further than the TLS handshake, for no inner host has its certificate.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from pyreqwest.http import Url

from worker.errors import Permanent, Transient

_RESOLVE_S = 5.0
_NAT64 = IPv6Network("64:ff9b::/96")
_TYPE = "not public"

Address = IPv4Address | IPv6Address


def host_in(url: str) -> str:
    """Name a URL's host as the client reads it. Raises Permanent for what is no URL of the web."""
    try:
        read = Url(url)
    except ValueError as error:
        raise Permanent(f"no URL: {error}", "no URL") from None
    if read.scheme not in ("http", "https") or not read.host_str:
        raise Permanent(f"no URL of the web, but of {read.scheme!r}", "no URL")
    return read.host_str


async def must_be_public(url: str) -> None:
    """Raise Permanent for a URL that is not https, or whose host has an address that is not public; Transient if it has none."""
    host = host_in(url)
    if Url(url).scheme != "https":
        raise Permanent(f"{host} would be called by http: only https may be", _TYPE)
    for address in await _addresses(host):
        if not is_public(address):
            raise Permanent(f"{host} is at {address}, which is not public", _TYPE)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the internet's, and no multicast; what it embeds or is mapped to counts."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


async def _addresses(host: str) -> list[Address]:
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise Transient(f"{host} has no address: {str(error) or type(error).__name__}") from error
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
