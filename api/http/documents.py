"""The documents that describe the API, generated from the code."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from api.http.edge import page_policy
from api.http.endpoint import Endpoint, endpoint, services_of
from api.http.lists import Json
from api.http.policy import May
from api.http.problems import Problem, ProblemDetails
from api.http.services import Services

VERSION = "0.1.0"
TITLE = "Scrip"
# Swagger UI as npm has it: the page needs no other host. Its folder names the version: browsers keep it for long.
SWAGGER = Path(__file__).parents[1] / "vendor" / "swagger-ui-dist-5.35.0"
SWAGGER_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
FOR_LONG = "public, max-age=31536000, immutable"


DESCRIPTION = """Whole numbers beyond ±(2^53 - 1), which JavaScript cannot read exactly, are sent as strings of their
digits to who asks for it: `Prefer: big-integers=string`, in every JSON answer, line and message; the answer then
has the header `Preference-Applied`. No number in a request may be that large.
"""


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of these endpoints."""
    described = get_openapi(
        title=TITLE,
        version=VERSION,
        summary="The event-sourced credit ledger for platforms that sell AI generation",
        description=DESCRIPTION,
        routes=[each.documented() for each in endpoints],
    )
    components = described.setdefault("components", {})
    components.setdefault("schemas", {})["ProblemDetails"] = ProblemDetails.model_json_schema()
    components["securitySchemes"] = {
        "login": {"type": "http", "scheme": "bearer", "description": "A JWT or an API key."}
    }
    described["security"] = [{"login": []}]
    for path in described["paths"].values():
        for operation in path.values():
            # Every error is a problem document, those of FastAPI's own parameter checks too.
            operation["responses"].pop("422", None)
    return described


def _page() -> tuple[bytes, str]:
    """The document for people, a page with one script of its own, and its policy, which names that script by hash."""
    page = get_swagger_ui_html(
        openapi_url="/api/openapi.json",
        title=f"{TITLE} API",
        swagger_js_url=f"/api/docs/{SWAGGER.name}/swagger-ui-bundle.js",
        swagger_css_url=f"/api/docs/{SWAGGER.name}/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},  # by default it sends the document to a public validator
    )
    body = bytes(page.body)
    script = body.decode().rpartition("<script>")[2].partition("</script>")[0]
    return body, page_policy(script)


class Documents:
    """Made once and kept as bytes: who needs no login must not have a document made, nor a copy, at each request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, bytes] = {}
        self._making = asyncio.Lock()
        self.page, self.policy = _page()

    def made(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A document, made when it is first asked for."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    async def asyncapi(self) -> bytes:
        """The document of the topics. Raises Problem (404)."""
        make = self._services.asyncapi
        if make is None:
            raise Problem(404, "not_offered", "This process does not have the AsyncAPI document.")
        async with self._making:
            if "asyncapi" not in self._made:  # in a thread: FastStream takes 0.15 s for it
                self._made["asyncapi"] = _json(await asyncio.to_thread(make))
        return self._made["asyncapi"]


def _json(document: dict[str, Any]) -> bytes:
    return bytes(Json(document).body)


def _documents(request: Request) -> Documents:
    return services_of(request).single(Documents)


@endpoint("GET /api/openapi.json", May.ANYBODY)
async def openapi(request: Request) -> Response:
    """This document."""
    made = _documents(request).made("openapi", lambda: _json(document(request.app.state.endpoints)))
    return Response(made, media_type=Json.media_type)


@endpoint("GET /api/asyncapi.json", May.ANYBODY)
async def asyncapi(request: Request) -> Response:
    """The topics and their messages."""
    return Response(await _documents(request).asyncapi(), media_type=Json.media_type)


@endpoint("GET /api/docs", May.ANYBODY)
async def docs(request: Request) -> Response:
    """This document for people."""
    documents = _documents(request)
    return Response(documents.page, media_type="text/html", headers={"Content-Security-Policy": documents.policy})


@endpoint("GET /api/docs/{version}/{file}", May.ANYBODY)
async def docs_file(request: Request, version: str, file: str) -> Response:
    """What that page needs."""
    if version != SWAGGER.name or file not in SWAGGER_FILES:
        raise Problem(404, "not_found", "There is no such file.")
    headers = {"Cache-Control": FOR_LONG, "ETag": f'"{SWAGGER.name}"'}
    made = _documents(request).made(file, (SWAGGER / file).read_bytes)
    return Response(made, media_type=SWAGGER_FILES[file], headers=headers)
