"""One request for a page: the person, the API in their name, and the ways to answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.api import Api, ApiProblem
from console.navigation import navigation
from console.person import Person
from console.sessions import Session
from console.settings import ConsoleSettings

Values = dict[str, Any]
_FLASHES = "flashes"
MAX_FLASHES = 10


@dataclass(slots=True)
class Visit:
    """What a page's function gets. There is always a `person`: /login comes first."""

    request: Request
    session: Session
    api: Api
    settings: ConsoleSettings
    templates: Environment

    @property
    def person(self) -> Person:
        """Who is signed in."""
        return self.session.person

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters in the address: filters live there, so that a page can be bookmarked and sent."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters in the path."""
        return self.request.path_params

    @property
    def partial(self) -> bool:
        """Whether htmx asks for a part of a page (not for a whole one that it puts into the body)."""
        headers = self.request.headers
        return headers.get("HX-Request") == "true" and headers.get("HX-Boosted") != "true"

    async def form(self) -> FormData:
        """What the form sent."""
        return await self.request.form()

    def render(self, template: str, status_code: int | None = None, /, **values: Any) -> Response:
        """The template with the values, and with `visit`, `person` and `nav`.

        Without a `status_code`, its status is that of the value `problem`, if this is an error of the API, else 200.
        """
        problem = values.get("problem")
        status = status_code or (problem.status if isinstance(problem, ApiProblem) else 200)
        html = self.templates.get_template(template).render(
            visit=self,
            person=self.person,
            nav=navigation(self.person.role, self.request.url.path),
            flashes=self.session.take(_FLASHES, []) if not self.partial else [],
            **values,
        )
        return HTMLResponse(html, status_code=status)

    def redirect(self, path: str, text: str = "", *, kind: str = "ok") -> Response:
        """Open another page of ours; `text` is shown there once. `kind`: ok, warn or error."""
        if text:
            flashes = [*self.session.kept.get(_FLASHES, []), [kind, text]]
            self.session.keep(_FLASHES, flashes[-MAX_FLASHES:])
        path = local(path)
        if self.partial:
            return Response(status_code=204, headers={"HX-Redirect": path})
        return RedirectResponse(path, status_code=303)

    async def until_visible(self, path: str, answer: Any) -> None:
        """Wait until the list at `path` has what a form did, as long as the API waits, so that the next page shows it.

        A list that is not there yet is no error: what was done is done, and a later look shows it.
        """
        try:
            await self.api.get(path, limit=1, min_position=answer["position"])
        except ApiProblem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise

    async def download(self, path: str, name: str, **params: Any) -> Response:
        """The API's file at `path`, as a download that browsers save as `name`."""
        answer = await self.api.file(path, **params)
        return saved_as(name, answer.content, answer.headers.get("content-type", "application/octet-stream"))


def saved_as(name: str, content: bytes, media_type: str) -> Response:
    """A file that browsers save as `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


def day(text: str | None, *, after: int = 0) -> str | None:
    """A day from a date field, so many days later; None for no date. The API takes it as the organisation's day."""
    if not text:
        return None
    try:
        return (date.fromisoformat(text) + timedelta(days=after)).isoformat()
    except (ValueError, OverflowError):
        return None


def local(path: str) -> str:
    """A path of this console; anything that would lead elsewhere becomes the home page."""
    parts = urlsplit(path)
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if safe and path.isprintable() and "\\" not in path else "/"
