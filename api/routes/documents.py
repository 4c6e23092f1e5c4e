"""The documents that describe the API, generated from the code."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.headers import page_policy
from api.problems import Problem
from api.reading import Json
from api.routing import OpenRoute
from api.schemas import ProblemDetails
from api.services import Services

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


def document(routes: list[Any]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    described = get_openapi(
        title=TITLE,
        version=VERSION,
        summary="The event-sourced credit ledger for platforms that sell AI generation",
        description=DESCRIPTION,
        routes=routes,
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


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    # Made once and kept as bytes: who needs no login must not have a document made, nor a copy of it, at each request.
    made: dict[str, bytes] = {}
    making = asyncio.Lock()
    page, policy = _page()

    async def openapi(request: Request) -> Response:
        if "openapi" not in made:
            made["openapi"] = bytes(Json(document(request.app.routes)).body)
        return Response(made["openapi"], media_type=Json.media_type)

    async def asyncapi() -> Response:
        if services.asyncapi is None:
            raise Problem(404, "not_offered", "This process does not have the AsyncAPI document.")
        async with making:
            if "asyncapi" not in made:  # in a thread: FastStream takes 0.15 s for it
                made["asyncapi"] = bytes(Json(await asyncio.to_thread(services.asyncapi)).body)
        return Response(made["asyncapi"], media_type=Json.media_type)

    async def docs() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    async def docs_file(version: str, file: str) -> Response:
        if version != SWAGGER.name or file not in SWAGGER_FILES:
            raise Problem(404, "not_found", "There is no such file.")
        if file not in made:
            made[file] = (SWAGGER / file).read_bytes()
        headers = {"Cache-Control": FOR_LONG, "ETag": f'"{SWAGGER.name}"'}
        return Response(made[file], media_type=SWAGGER_FILES[file], headers=headers)

    return [
        OpenRoute("/api/openapi.json", openapi, "This document"),
        OpenRoute("/api/asyncapi.json", asyncapi, "The topics and their messages"),
        OpenRoute("/api/docs", docs, "This document for people"),
        OpenRoute("/api/docs/{version}/{file}", docs_file, "What that page needs"),
    ]
