"""What a person has stored, and making room."""

from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from console.api import ABSENT, ApiProblem
from console.pages import Pages
from console.visit import Visit

SORTS = ("size", "age")
MOST = 200  # of one selection
VIDEO_BYTES = 10 * 1024 * 1024  # what a video and an image need to be free (S0)
IMAGE_BYTES = 5 * 1024 * 1024

pages = Pages()


@pages.get("/generations")
async def contents(visit: Visit) -> Response:
    """The stored generations, the largest or the oldest first."""
    sort = visit.query.get("sort", "size")
    found, storage = (
        await visit.api.get(
            "/api/v1/contents",
            user_id=visit.person.sub,
            sort=sort if sort in SORTS else "size",
            cursor=visit.query.get("cursor"),
        ),
        await visit.api.get("/api/v1/storage/me"),
    )
    return visit.render(
        "user/contents.html",
        items=found["items"],
        cursor=found["next_cursor"],
        storage=storage,
        sort=sort,
        video_bytes=VIDEO_BYTES,
        image_bytes=IMAGE_BYTES,
    )


@pages.post("/generations/delete")
async def delete(visit: Visit) -> Response:
    """Delete what was chosen; each one once, however often it is asked. contents.js asks when nobody undid it."""
    chosen = [str(each) for each in (await visit.form()).getlist("id")][:MOST]
    for id_ in chosen:
        try:
            await visit.api.delete(f"/api/v1/contents/{quote(id_, safe='')}")
        except ApiProblem as problem:
            if problem.status != ABSENT:  # gone already is what was wanted
                raise
    if visit.request.headers.get("Accept") == "application/json":
        return JSONResponse({"deleted": len(chosen)})
    return visit.redirect("/generations", "Deleted. The space is free again.")
