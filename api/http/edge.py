"""Around every request: what is no request of HTTP, an id, security headers, and the count of what was answered.

It does not trust the server below: a body is counted against its declared length here, whatever has read it.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from ipaddress import ip_address
from random import getrandbits
from secrets import token_hex
from time import perf_counter
from traceback import format_exception

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.http.endpoint import send_problem
from api.http.fields import MOST_EXACT
from api.http.metrics import Metrics
from api.http.policy import DENIED, record
from api.http.problems import Problem, fault, of_the_machine
from infra.settings import Settings
from infra.turns import CALLER, STRANGERS

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


def is_loopback(name: str) -> bool:
    """Whether a host's name, without a port, can mean no other machine than this one."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name in a `Host` header: lower case, without the port, the brackets of IPv6 and the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


class Hosts:
    """Loopback names, and those in SCRIP_ALLOWED_HOSTS."""

    def __init__(self, allowed: str) -> None:
        """`allowed`: names without ports, separated by commas."""
        self._allowed = frozenset(host_name(each) for each in allowed.split(",") if each.strip())

    def check(self, *given: bytes | None) -> None:
        """The values of `Host` and `X-Forwarded-Host`, None where there is none. Raises Problem (421)."""
        for value in given:
            if value is not None:
                self._look(value)

    def _look(self, value: bytes) -> None:
        for each in value.decode("latin-1").split(","):
            name = host_name(each)
            if name not in self._allowed and not is_loopback(name):
                raise Problem(
                    421,
                    "wrong_host",
                    "The service does not answer under this name. Use localhost, or add the name to"
                    " SCRIP_ALLOWED_HOSTS.",
                    field="Host",
                )


def of_whole_service(settings: Settings) -> Hosts | None:
    """The names for every request; None for any name: where callers must sign in, another name gains them nothing."""
    return Hosts(settings.allowed_hosts) if settings.development_login else None


def of_pages(settings: Settings, pages: ASGIApp) -> ASGIApp:
    """The console, under the names in SCRIP_ALLOWED_HOSTS where it is set: pages and sign-in use the name in links."""
    if not settings.allowed_hosts.strip():
        return pages
    hosts = Hosts(settings.allowed_hosts)

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts.check(*(value for name, value in scope["headers"] if name == b"host"))
        await pages(scope, receive, send)

    return named


_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ID_NAMES = (b"request-id", b"x-request-id")
_LOOKED_AT = frozenset(
    {*_ID_NAMES, b"host", b"x-forwarded-host", b"content-length", b"transfer-encoding", b"if-none-match", b"prefer"}
)
_MAX_PROBLEM = 4_096  # bytes of a denial that are looked at for its code
_MAX_DIGITS = 18
_MAX_HOSTS = 1_000  # values of `Host` that are kept as good ones, each at most a head long
_READS = frozenset({"GET", "HEAD"})
_OF_A_BODY = frozenset({b"content-length", b"content-type"})


log = structlog.get_logger()
_ASKED = re.compile(rb"\bbig-integers\s*=\s*\"?string\"?(?![\w-])", re.IGNORECASE)
_LONG = re.compile(rb"[0-9]{16}")  # no shorter number is too large
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?')
_JSON = (b"application/json", b"application/problem+json")
_LINES = (b"text/event-stream", b"application/x-ndjson")  # JSON in lines, sent as it comes about
_APPLIED: list[Header] = [(b"preference-applied", b"big-integers=string")]


class Edge:
    """Pure ASGI, because a middleware that wraps requests in tasks would cost more than the answer itself."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, https: bool = False, hosts: Hosts | None = None) -> None:
        """`https`: the deployment is reached by HTTPS only. `hosts`: its names; None: any."""
        self._app = app
        self._metrics = metrics
        self._headers = fixed(https=https)
        self._hosts = hosts
        self._good_hosts: set[bytes] = set()
        self._prefix = token_hex(6).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        client = scope.get("client")
        CALLER.set((STRANGERS, client[0] if client else ""))  # until the guard knows who it is
        found = _look(scope["headers"])
        request_id = self._request_id(found)
        bind_contextvars(request_id=request_id.decode())  # in everything that is logged on the way
        method: str = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server must know that it was HEAD
        status, told = 500, b""
        answered = 0.0
        started = ended = False

        async def answer(message: Message) -> None:
            nonlocal status, told, started, ended, answered
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                answered = perf_counter()  # a stream is answered when it begins
                headers: list[Header] = message["headers"]
                headers += [(name, request_id) for name in _ID_NAMES]
                complete(headers, self._headers)
            else:
                if status in DENIED and not told:
                    told = message.get("body", b"")[:_MAX_PROBLEM]
                ended = not message.get("more_body")
            await send(message)

        respond = _as_asked(answer, method, found) if method in _READS or b"prefer" in found else answer
        try:
            await self._app(scope, self._admitted(scope, receive, found), respond)
        except Exception as error:
            if not started:  # without a name: a problem that knows this frame would keep itself in memory
                await send_problem(respond, _problem_of(error, method, scope["path"]))
            else:
                _problem_of(error, method, scope["path"])  # it is logged
                if not ended:
                    raise  # the answer has begun: only ending the connection shows the caller that it failed
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._metrics.answered(method, path, status, (answered or perf_counter()) - began)
            record(scope, status, told)

    def _admitted(self, scope: Scope, receive: Receive, found: Mapping[bytes, bytes]) -> Receive:
        """`receive` for the body, once the head is one of HTTP and for this service. Raises Problem (400, 421)."""
        host = found.get(b"host")
        if host not in self._good_hosts or b"x-forwarded-host" in found:
            self._check_host(scope, host, found.get(b"x-forwarded-host"))
        return _whole(receive, found)

    def _check_host(self, scope: Scope, host: bytes | None, forwarded: bytes | None) -> None:
        """Raises Problem (400, 421)."""
        if (host is None and scope["http_version"] == "1.1") or (host is not None and not _HOST.fullmatch(host)):
            raise _malformed("A request must name its Host once, as a name and a port.", "Host")
        if self._hosts is not None:
            self._hosts.check(host, forwarded)
        if host is not None and len(self._good_hosts) < _MAX_HOSTS:
            self._good_hosts.add(host)

    def _request_id(self, found: Mapping[bytes, bytes]) -> bytes:
        for name in _ID_NAMES:
            if name in found and _GIVEN_ID.fullmatch(found[name]):
                return bytes(found[name])
        # Not a count, which would tell each caller how many requests all others make.
        return b"%b-%016x" % (self._prefix, getrandbits(64))


def _look(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """The headers that the edge needs; those that occur twice as one list, which is then no host and no length."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _LOOKED_AT:
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


def _whole(receive: Receive, found: Mapping[bytes, bytes]) -> Receive:
    """`receive` for the body that the head declares. Raises Problem (400) for a length that is none."""
    length = found.get(b"content-length")
    if length is None:
        return _counted(receive, None) if b"transfer-encoding" in found else receive
    if b"transfer-encoding" in found or not length.isdigit() or len(length) > _MAX_DIGITS:
        raise _malformed("The length of the body must be given once, in bytes.", "Content-Length")
    return _counted(receive, int(length))


def _malformed(detail: str, field: str) -> Problem:
    return Problem(400, "malformed_request", detail, field=field)


def _counted(receive: Receive, length: int | None) -> Receive:
    """`receive` for a body of `length` bytes, None where only its end says how long it was.

    A body that is not as long as it was said to be ends like one whose caller has gone away, which no reader takes for
    whole.
    """
    size, ended = 0, False

    async def counted() -> Message:
        nonlocal size, ended
        message = await receive()
        if not ended and message["type"] == "http.request":
            size += len(message.get("body", b""))
            ended = not message.get("more_body")
            if ended and length not in (None, size):
                return {"type": "http.disconnect"}
        return message

    return counted


def _problem_of(error: Exception, method: str, path: str) -> Problem:
    if isinstance(error, Problem):
        return error
    # The text of the traceback and no more: a renderer would print local variables, credentials among them.
    log.error("a request failed", path=path, traceback="".join(format_exception(error)))
    return of_the_machine(error, method) or fault()


def _as_asked(send: Send, method: str, found: Mapping[bytes, bytes]) -> Send:
    """`send` with the answer in the form that the head asks for."""
    asked = _without_body(send, method, found.get(b"if-none-match"))
    return as_preferred(asked, found[b"prefer"]) if b"prefer" in found else asked


def _without_body(send: Send, method: str, none_match: bytes | None) -> Send:
    """`send`, for HEAD without the body, and so for a GET whose caller has the answer already (304)."""
    if method != "HEAD" and (method != "GET" or none_match is None):
        return send
    bodiless = method == "HEAD"

    async def sent(message: Message) -> None:
        nonlocal bodiless
        if message["type"] == "http.response.start":
            headers: list[Header] = message["headers"]
            if none_match is not None and message["status"] == 200 and _known(headers, none_match):
                bodiless = True
                message = {**message, "status": 304, "headers": [each for each in headers if each[0] not in _OF_A_BODY]}
            await send(message)
            if bodiless:  # at once: the first byte of a stream may take long
                await send({"type": "http.response.body", "body": b""})
        elif not bodiless:
            await send(message)

    return sent


def _known(headers: Iterable[Header], none_match: bytes) -> bool:
    """Whether the caller has what is answered: by weak comparison, as RFC 9110 says for If-None-Match."""
    tag = next((value for name, value in headers if name == b"etag"), None)
    if tag is None:
        return False
    known = {each.strip().removeprefix(b"W/") for each in none_match.split(b",")}
    return b"*" in known or tag.removeprefix(b"W/") in known


def with_strings(text: bytes) -> bytes:
    """JSON with each whole number beyond ±(2^53 - 1) as a string of its digits; all else byte for byte as it was."""
    return _TOKEN.sub(_as_string, text) if _LONG.search(text) else text


def as_preferred(send: Send, prefer: bytes) -> Send:
    """`send`, with big integers as strings where the header `prefer` asks for it and the answer is JSON (RFC 7240).

    JavaScript reads every number as a double, which is exact up to 2^53 - 1, and a sum over many accounts may be
    larger. Whoever does not ask gets numbers, and pays nothing.
    """
    return _Rewriting(send) if _ASKED.search(prefer) else send


class _Rewriting:
    """Holds an answer back until it is whole, or a stream's line until it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of an answer that is held back
        self._rewrite: Callable[[bytes], bytes] | None = None  # of a stream's lines
        self._held = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._start is not None:
            await self._send_whole(message)
        elif self._rewrite is not None:
            await self._send({**message, "body": self._whole_lines(message)})
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
        if kind.startswith(_JSON):
            self._start = message
            return
        if kind.startswith(_LINES):
            self._rewrite = _event_line if kind.startswith(b"text/event-stream") else with_strings
            message = {**message, "headers": [*message["headers"], *_APPLIED]}
        await self._send(message)

    async def _send_whole(self, message: Message) -> None:
        self._held += message.get("body", b"")
        if message.get("more_body"):
            return
        start, self._start = self._start, None
        body = with_strings(bytes(self._held))
        if start is not None:
            kept = [header for header in start["headers"] if header[0].lower() != b"content-length"]
            length = (b"content-length", b"%d" % len(body))
            await self._send({**start, "headers": [*kept, length, *_APPLIED]})
        await self._send({"type": "http.response.body", "body": body})

    def _whole_lines(self, message: Message) -> bytes:
        self._held += message.get("body", b"")
        end = self._held.rfind(b"\n") + 1 if message.get("more_body") else len(self._held)
        ready, self._held = bytes(self._held[:end]), self._held[end:]
        rewrite = self._rewrite
        return b"".join(map(rewrite, ready.splitlines(keepends=True))) if rewrite is not None else ready


def _event_line(line: bytes) -> bytes:
    """A line of server-sent events: only its data is JSON."""
    return with_strings(line) if line.startswith(b"data:") else line


def _as_string(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token.startswith(b'"') or not token.removeprefix(b"-").isdigit() or abs(int(token)) <= MOST_EXACT:
        return token
    return b'"%b"' % token
