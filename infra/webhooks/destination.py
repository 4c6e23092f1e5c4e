"""Where a webhook may go: public addresses only, resolved once and connected to as resolved (SSRF, DNS rebinding)."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_URL = 2_000
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # what is not in it was never given to anybody
_TO_TRY = "; to try webhooks out on a machine of your own, set SCRIP_WEBHOOKS_ALLOW_PRIVATE=true"
_RESERVED_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".onion")


class Forbidden(Exception):
    """The address is none that a webhook may go to; the text says why, without saying what the name resolved to."""


class Destination(NamedTuple):
    """A checked URL: its host's name in ASCII, port, and the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_url(url: str, *, allow_private: bool = False) -> Destination:
    """The destination that a URL names. Raises Forbidden for what can be seen to be wrong without resolving it.

    `allow_private` lets through plain http and private addresses, for tests and machines without a network.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Forbidden(f"the URL must be at most {MAX_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("the URL cannot be read") from None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise Forbidden(f"the URL must begin with https://{_TO_TRY}")
    if not host or "@" in parts.netloc or "%" in parts.netloc or parts.fragment or port == 0:
        raise Forbidden("the URL must name a host, and have no login and no fragment")
    if not allow_private:
        _refuse_name(host)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


async def resolve(destination: Destination, *, allow_private: bool = False) -> str:
    """The address to connect to, now. Raises Forbidden where any address of the host is not public; OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise OSError("the host has no address")
    if not allow_private and not all(is_public(address) for address in addresses):
        raise Forbidden(f"the host's address is not a public one{_TO_TRY}")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, addresses that only wrap another one included."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = _inner(found)
        if inner is not None:
            return is_public(str(inner))
        return found in _GLOBAL_UNICAST and found.is_global
    return found.is_global and not found.is_multicast and not found.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, Teredo, NAT64 or compatible."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _refuse_name(host: str) -> None:
    """Refuse a literal address that is not public, and names that never lead to the public internet."""
    literal = ":" in host or host.replace(".", "").isdigit()
    if literal and not is_public(host):
        raise Forbidden(f"the host's address is not a public one{_TO_TRY}")
    if host == "localhost" or f".{host}".endswith(_RESERVED_NAMES) or ("." not in host and ":" not in host):
        raise Forbidden(f"the host's name is not a public one{_TO_TRY}")
