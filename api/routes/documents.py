"""The documents that describe the API, generated from the code."""

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
SWAGGER = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"


def document(routes: list[Any]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    described = get_openapi(
        title=TITLE,
        version=VERSION,
        summary="The event-sourced credit ledger for platforms that sell AI generation",
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
        swagger_js_url=SWAGGER + "swagger-ui-bundle.js",
        swagger_css_url=SWAGGER + "swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    body = bytes(page.body)
    script = body.decode().rpartition("<script>")[2].partition("</script>")[0]
    return body, page_policy(script, SWAGGER)


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    made: dict[str, Any] = {}
    page, policy = _page()

    async def openapi(request: Request) -> Json:
        if not made:
            made.update(document(request.app.routes))
        return Json(made)

    async def asyncapi() -> Json:
        if services.asyncapi is None:
            raise Problem(404, "not_offered", "This process does not have the AsyncAPI document.")
        return Json(services.asyncapi())

    async def docs() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    return [
        OpenRoute("/api/openapi.json", openapi, operation="openapi", summary="This document"),
        OpenRoute("/api/asyncapi.json", asyncapi, operation="asyncapi", summary="The topics and their messages"),
        OpenRoute("/api/docs", docs, operation="docs", summary="This document for people"),
    ]
