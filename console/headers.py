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
    headers = request.headers
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    if headers.get("Sec-Fetch-Site") == "same-origin":
        return True  # the Origin of a form is `null` under our Referrer-Policy
    sender = headers.get("Origin") or headers.get("Referer")
    return sender is None or urlsplit(sender).netloc == headers.get("Host", "")


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
