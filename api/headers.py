"""The headers that make an answer safe in browsers (S1, S3: XSS protection headers) and caches, as bytes made once.

An API's answers need nothing from anywhere, so they are allowed nothing. A page that does need something sends its
own Content-Security-Policy, which is then left alone; so is a Cache-Control of its own.
"""

from base64 import b64encode
from hashlib import sha256

Header = tuple[bytes, bytes]

TWO_YEARS_S = 63_072_000
ALWAYS: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"vary", b"Prefer"),  # it changes the answer (`api.edge.BigIntegers`), and caches must know that
]
TLS_ONLY: Header = (b"strict-transport-security", b"max-age=%d; includeSubDomains" % TWO_YEARS_S)
POLICY: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
CACHE: Header = (b"cache-control", b"no-store")


def fixed(*, https: bool) -> list[Header]:
    """What every answer of this deployment gets. `https`: it is reached by HTTPS only, and says so to browsers."""
    return [*ALWAYS, TLS_ONLY] if https else ALWAYS


def complete(headers: list[Header], added: list[Header]) -> None:
    """Add to an answer's headers those that are `added` to all, and the defaults that it lacks."""
    policy = cache = True
    for name, _ in headers:
        if name == b"cache-control":
            cache = False
        elif name == b"content-security-policy":
            policy = False
    headers += added
    if policy:
        headers.append(POLICY)
    if cache:
        headers.append(CACHE)


def page_policy(script: str) -> str:
    """The policy of a page with one `script` of its own, known by its hash; all else is from this service alone."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src data:;"
        " font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
