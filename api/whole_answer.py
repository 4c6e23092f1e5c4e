"""A problem as the bytes of a whole answer, for what never becomes a request."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.headers import ALWAYS, Header, complete
from api.problems import MEDIA_TYPE, Problem


def whole(problem: Problem, given: list[Header]) -> bytes:
    """The answer with the headers `given`, after which the connection is closed."""
    body = problem.encoded()
    headers: list[Header] = [
        *given,
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    complete(headers, ALWAYS)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, body)
