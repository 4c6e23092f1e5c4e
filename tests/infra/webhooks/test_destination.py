"""No webhook reaches a private address, whatever its URL says or its name resolves to (API7, SSRF)."""

import asyncio
from typing import Any

import pytest

from infra.webhooks.sending import Forbidden, is_public, read_url, resolve

PRIVATE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.170"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "not an address", ""),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "example.com",
        "//example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com\\@127.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://ex%61mple.com/",
        "https://bücher.example/",
        "https://localhost/",
        "https://localhost./",
        "https://LOCALHOST/",
        "https://a.localhost/",
        "https://postgres/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://" + "a" * 2000 + ".example/",
    ],
)
def test_what_is_refused_at_sight(url: str) -> None:
    with pytest.raises(Forbidden):
        read_url(url)


def test_what_a_url_says() -> None:
    found = read_url("https://hooks.example.com:8443/a/b?c=d")
    assert (found.host, found.port, found.target, found.authority) == (
        *("hooks.example.com", 8443, "/a/b?c=d"),
        "hooks.example.com:8443",
    )
    assert read_url("https://hooks.example.com").authority == "hooks.example.com"
    assert read_url("http://127.0.0.1:8080/x", allow_private=True).port == 8080


def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> str:
    """What is connected to where the name server answers these addresses."""

    async def whole() -> str:
        async def answer(*_: Any, **__: Any) -> list[Any]:
            return [(None, None, None, "", (address, 443)) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
        return await resolve(read_url("https://hooks.example.com/"))

    return asyncio.run(whole())


def test_a_public_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(monkeypatch, "8.8.8.8") == "8.8.8.8"
    with pytest.raises(Forbidden):
        resolved(monkeypatch, "10.0.0.1")
    with pytest.raises(Forbidden):  # one of several would do for an attacker who tries often enough
        resolved(monkeypatch, "8.8.8.8", "::ffff:169.254.169.254")


def test_unusual_ways_to_write_an_address_are_seen_through_when_they_are_resolved() -> None:
    for host in ("0x7f000001.", "0177.0.0.1", "127.1"):
        destination = read_url("https://hooks.example.com/")._replace(host=host)
        with pytest.raises((Forbidden, OSError)):
            asyncio.run(resolve(destination))
