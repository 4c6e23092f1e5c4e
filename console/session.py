"""The session: a token for the browser's components, and the organisation that an admin looks at."""

import time

from starlette.responses import JSONResponse, Response

from console.pages import Pages
from console.person import PLATFORM
from console.visit import Visit

TOKEN_S = 600

pages = Pages()


@pages.get("/session/token")
async def session_token(visit: Visit) -> Response:
    """A token for the components of this page, short-lived where this service signs tokens itself."""
    person, token, until = visit.person, visit.person.token, visit.person.expires_at
    if visit.settings.sign is not None:
        token = visit.settings.sign(person.org, person.sub, person.role, TOKEN_S)
        until = min(until, int(time.time()) + TOKEN_S)
    return JSONResponse(
        {
            "token": token,
            "expires_at": until,
            "org": person.org,
            "organisation": person.organisation,
            "sub": person.sub,
            "role": person.role,
        }
    )


@pages.post("/session/organisation", PLATFORM)
async def choose_organisation(visit: Visit) -> Response:
    """Look at another organisation from now on."""
    form = await visit.form()
    visit.session.act_for(str(form.get("organisation", "")).strip())
    return visit.redirect(str(form.get("back", "/")))
