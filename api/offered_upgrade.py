"""An offer to upgrade is declined: the head as it would be without it, to be read once more."""

from collections.abc import Iterable

from api.headers import Header

_UPGRADING = frozenset({b"upgrade", b"http2-settings"})


def declined(method: bytes, target: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """The head of a request without its offer; the names of `headers` are in lower case."""
    parts = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [each for each in value.split(b",") if each.strip().lower() not in _UPGRADING]
            parts.append(b"connection: %b\r\n" % b",".join(kept))
        elif name not in _UPGRADING:
            parts.append(b"%b: %b\r\n" % (name, value))
    return b"".join((*parts, b"\r\n"))
