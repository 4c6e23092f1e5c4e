"""Who is in a group: many added at once after a look at them, one or many removed.

Also the trial of a group: it counts an image or a video of a member and shows whether that was allowed.
"""

import csv
import re
from collections import Counter
from typing import Any, NamedTuple

from starlette.responses import Response

from console.admin.form_values import in_path, pasted, text, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

MEMBERS_PAGE = "/admin/groups/{id}/members"
MEMBERS = "/api/group-members"
PAGE = 200
PAGES_AT_MOST = 25
PICKS = 60
USERS = "/api/v1/users"
ASKED_AT_ONCE = 200
MOST = 1_000  # in one call of the API
HEADINGS = ("user_id", "userid", "user", "id")
_BETWEEN = re.compile(r"[\s,;]+")
TRIAL_PAGE = "/admin/groups/{id}/trial"

pages = Pages()


class Named(NamedTuple):
    """`ready` may be added: each once, the `unknown` among them too, who exist from their first use."""

    ready: list[str]
    unknown: list[str]
    repeated: list[str]
    invalid: list[str]
    already: list[str]

    @property
    def known(self) -> list[str]:
        """Those of `ready` that Scrip has seen before."""
        return [name for name in self.ready if name not in self.unknown]


def names_in(given: str) -> list[str]:
    """The ids in a text: by lines, commas, semicolons or spaces; of a CSV with a heading the column of users.

    Repetitions are kept, so that they can be told.
    """
    lines = given.splitlines()
    heading = [cell.strip().strip('"').lower() for cell in re.split("[,;\t]", lines[0])] if lines else []
    column = next((heading.index(name) for name in HEADINGS if name in heading), None)
    if column is None:
        return [name for name in (part.strip("\"'") for part in _BETWEEN.split(given)) if name]
    delimiter = next((mark for mark in (";", "\t") if mark in lines[0]), ",")
    rows = csv.reader(lines[1:], delimiter=delimiter)
    return [row[column].strip() for row in rows if len(row) > column and row[column].strip()]


async def looked_up(visit: Visit, names: list[str], members: set[str]) -> Named:
    """Which of the names are known, double, in the group already, or can be nobody's."""
    times = Counter(names)
    unknown: list[str] = []
    invalid: list[str] = [name for name in times if "," in name]  # the question is asked by commas
    asked = [name for name in times if name not in invalid]
    for start in range(0, len(asked), ASKED_AT_ONCE):
        answer = await visit.api.get(USERS, ids=",".join(asked[start : start + ASKED_AT_ONCE]))
        unknown += answer["unknown"]
        invalid += answer["invalid"]
    already = [name for name in times if name in members]
    ready = [name for name in times if name not in invalid and name not in members]
    return Named(
        ready=ready,
        unknown=[name for name in unknown if name not in members],
        repeated=[name for name, count in times.items() if count > 1],
        invalid=invalid,
        already=already,
    )


@pages.get(MEMBERS_PAGE, ADMINS)
async def members(visit: Visit) -> Response:
    """The members, and the form to add some."""
    return await _members_panel(visit)


@pages.get(MEMBERS_PAGE + "/picks", ADMINS)
async def picks(visit: Visit) -> Response:
    """Users of the organisation to pick from, by the beginning of their id."""
    inside = set(await members_of(visit))
    found = await _picks(visit, visit.query.get("prefix", ""), inside)
    return visit.render("admin/member_picks_part.html", picks=found)


@pages.post(MEMBERS_PAGE + "/preview", ADMINS)
async def preview(visit: Visit) -> Response:
    """What would be added, before it is: who is known, new, named twice, in it already, or no id at all."""
    form = await visit.form()
    group = await visit.api.get(_group(visit))
    try:
        names = [str(name) for name in form.getlist("pick")] + names_in(await pasted(form, "names", "file"))
        if not names:
            raise wrong("names", "Pick users, paste their ids or choose a file first.")
        if len(set(names)) > MOST:
            raise wrong("names", f"These are more than {MOST:,} users. Add them in several parts.")
        named = await looked_up(visit, names, set(await members_of(visit)))
    except ApiProblem as problem:
        return await _members_panel(visit, problem, typed=text(form, "names"))
    return visit.render("admin/member_preview_part.html", group=group, named=named)


@pages.post(MEMBERS_PAGE, ADMINS)
async def add(visit: Visit) -> Response:
    """Add those that were looked at."""
    form = await visit.form()
    return await _done(visit, MEMBERS, text(form, "user_ids").split(), text(form, "key"), "added")


@pages.post(MEMBERS_PAGE + "/remove", ADMINS)
async def remove(visit: Visit) -> Response:
    """Ask, then remove those that were chosen."""
    form = await visit.form()
    chosen = [str(name) for name in form.getlist("member")]
    if not chosen:
        return await _members_panel(visit, wrong("member", "Choose the members to remove first."))
    if not text(form, "sure"):
        group = await visit.api.get(_group(visit))
        return visit.render("admin/member_remove_part.html", group=group, chosen=chosen)
    return await _done(visit, f"{MEMBERS}/remove", chosen, text(form, "key"), "removed")


async def members_of(visit: Visit) -> list[str]:
    """All members, read page by page."""
    found: list[str] = []
    cursor = None
    for _ in range(PAGES_AT_MOST):
        page = await visit.api.get(f"{_group(visit)}/members", limit=PAGE, cursor=cursor)
        found += [row["user_id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


async def _done(visit: Visit, path: str, users: list[str], key: str, what: str) -> Response:
    group = _group(visit)
    try:
        answer = await visit.api.post(path, {"group_id": visit.path["id"], "user_ids": users}, key=key)
    except ApiProblem as problem:
        return await _members_panel(visit, problem)
    await visit.until_visible(f"{group}/members", answer)
    changed = [result["user_id"] for result in answer["results"] if result["status"] == what]
    return await _members_panel(visit, changed=changed, what=what)


async def _members_panel(visit: Visit, problem: ApiProblem | None = None, **shown: Any) -> Response:
    group, inside = await visit.api.get(_group(visit)), await members_of(visit)
    values = {"typed": "", "changed": [], "what": "", **shown}
    found = await _picks(visit, "", set(inside))
    return visit.render("admin/members_part.html", group=group, members=inside, picks=found, problem=problem, **values)


async def _picks(visit: Visit, prefix: str, inside: set[str]) -> list[str]:
    """Users who are not in the group yet; none where the beginning of an id can be nobody's."""
    try:
        page = await visit.api.get(USERS, prefix=prefix, limit=PAGE)
    except ApiProblem:
        return []
    return [row["user_id"] for row in page["items"] if row["user_id"] not in inside][:PICKS]


def _group(visit: Visit) -> str:
    return f"/api/groups/{in_path(visit.path['id'])}"


@pages.get(TRIAL_PAGE, ADMINS)
async def trial(visit: Visit) -> Response:
    """Whom and what to count."""
    return await _trial_panel(visit)


@pages.post(TRIAL_PAGE, ADMINS)
async def count_one(visit: Visit) -> Response:
    """Count one; it is as real as every other, and says so."""
    form = await visit.form()
    user, type_ = text(form, "user_id"), text(form, "type")
    body = {"user_id": user, "type": type_}
    try:
        answer = await visit.api.post("/api/track-generation", body, key=text(form, "key"))
    except ApiProblem as problem:
        return await _trial_panel(visit, problem=problem, user=user)
    # The group that refused may be another one of the user's.
    decided = await visit.api.get_or_none(f"/api/groups/{in_path(answer['group_id'])}") if answer["group_id"] else None
    return await _trial_panel(visit, answer=answer, decided=decided, user=user, type_=type_)


async def _trial_panel(visit: Visit, **shown: Any) -> Response:
    values = {"problem": None, "answer": None, "decided": None, "user": "", "type_": "", **shown}
    group, inside = await visit.api.get(_group(visit)), await members_of(visit)
    return visit.render("admin/group_trial_part.html", group=group, members=inside, **values)
