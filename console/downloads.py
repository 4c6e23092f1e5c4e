"""Files from the API, passed on under a name."""

import httpx
from starlette.responses import Response


def download(answer: httpx.Response, name: str) -> Response:
    """The API's file as a download that browsers save as `name`."""
    return Response(
        answer.content,
        media_type=answer.headers.get("content-type", "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
