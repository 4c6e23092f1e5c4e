"""What a browser may do with a page: only what comes from here, no inline script, no inline style, in no frame."""

import secrets
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; manifest-src 'self'"
)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"


def protect(answer: Response) -> Response:
    """Add the policy, and that nobody keeps the page."""
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def of_this_origin(request: Request) -> bool:
    """Whether the browser says that a page of ours sent this; one that says nothing passes to the token's check."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host", "")


async def forged(request: Request, token: str) -> bool:
    """Whether a request that changes something lacks the session's token, in the form or in htmx's header.

    Without a session there is no token: an empty one must not match it.
    """
    if not of_this_origin(request):
        return True
    given = request.headers.get(CSRF_HEADER) or (await request.form()).get(CSRF_FIELD)
    return not token or not isinstance(given, str) or not compare_digest(given.encode(), token.encode())


def new_token() -> str:
    """A token against forged requests for who is not signed in yet."""
    return secrets.token_urlsafe(24)
