"""One refusal of each kind, each of a user who has exactly what the case needs, and none of it is taken."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from cli.demo.caller import Caller, answered
from cli.demo.figures import GroupFigures, Level, UserFigures, difference
from cli.demo.outcome import read_group, read_user
from cli.demo.plan import AGENCY, LAB, STUDIO
from cli.demo.setup import set_up_group, set_up_user
from cli.demo.workers import GENERATIONS
from cli.failure import Failure
from domain.budgets.state import DEFAULT_BUDGET, MIN_BUDGET
from domain.generations.request import MB

STORAGE = 200 * MB  # of which 195 MB are full in S0's example
STORED = 195 * MB
GROUP = "interns"
MOST_RATED = 100  # a limit above this many requests is not driven to its end

SIMPLE_IMAGE = {"operation": "image", "options": {"complexity": "simple"}}
SHORT_VIDEO = {"operation": "video", "options": {"duration": 6}}
NINE_IMAGES = {"operation": "image", "options": {"size": "1024x1792", "quality": "hd", "count": 9}}  # $1.08
HAILUO = {"operation": "video", "provider": "MiniMax", "model": "MiniMax-Hailuo-02"}
FULL_HD = {**HAILUO, "options": {"resolution": "1080P", "duration": 6}}  # 1,100 credits
NO_PRICE = {**HAILUO, "options": {"resolution": "1080P", "duration": 10}}
LEADS = {"operation": "generate_leads", "feature": "generate_leads"}
CHAT = {"operation": "chat"}


class Refusal(NamedTuple):
    """What a refused user got as an answer; `code` is the reason."""

    code: str
    status: int
    org: str
    user: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A user with what they have and what they ask for in vain."""

    code: str
    org: str
    name: str
    asked: dict[str, Any]
    status: int = httpx.codes.PAYMENT_REQUIRED
    credits: int = 0
    tokens: int = 0
    stored: int = 0
    budget: int = DEFAULT_BUDGET

    def figures(self, run: str) -> UserFigures:
        """What the user has, before and after."""
        return UserFigures(
            org=self.org,
            user=f"{self.name}.{run}",
            credits=Level(0, self.credits),
            tokens=Level(0, self.tokens),
            storage=Level(self.stored, STORAGE),
            budget=Level(0, self.budget),
        )


CASES = (
    Case(code="plan_blocked", org=LAB, name="lou", asked=LEADS),
    Case(code="group_limit", org=STUDIO, name="gil", asked=SIMPLE_IMAGE, tokens=1_000),
    Case(code="budget_exceeded", org=STUDIO, name="bo", asked=NINE_IMAGES, tokens=1_000, budget=MIN_BUDGET),
    Case(code="insufficient_storage", org=AGENCY, name="sam", asked=SHORT_VIDEO, tokens=1_000, stored=STORED),
    Case(code="insufficient_tokens", org=LAB, name="tom", asked=SIMPLE_IMAGE, tokens=50),
    Case(code="insufficient_credits", org=AGENCY, name="zoe", asked=FULL_HD, credits=500),
    Case(
        code="unpriced",
        org=AGENCY,
        name="max",
        asked=NO_PRICE,
        status=httpx.codes.UNPROCESSABLE_ENTITY,
        credits=5_000,
    ),
)

# Asks once more than is allowed in a minute, and calls off what was granted.
HURRIED = Case(
    code="rate_limited", org=LAB, name="rob", asked=CHAT, status=httpx.codes.TOO_MANY_REQUESTS, tokens=50 * MOST_RATED
)


async def be_refused(caller: Caller, run: str, rate_limit: int) -> tuple[list[Refusal], list[GroupFigures], list[str]]:
    """Every user asks in vain: their refusals, the group that is full, and what was taken all the same.

    `rate_limit`: the deployment's, in requests per window; 0 for none. Raises Failure where something is granted.
    """
    cases = (*CASES, HURRIED) if 0 < rate_limit <= MOST_RATED else CASES
    users = [case.figures(run) for case in cases]
    await gather(*(set_up_user(caller, user) for user in users))
    group = await _fill_group(caller, run)
    await _fill_storage(caller, run)
    refusals = []
    for case in cases:
        granted = [await _ask(caller, case, run) for _ in range(rate_limit if case is HURRIED else 0)]
        refusals.append(_told(await _ask(caller, case, run), case, run))
        await gather(*(_call_off(caller, case, run, answer) for answer in granted))
    found = [await read_user(caller, user.org, user.user) for user in users]
    full = await read_group(caller, group.org, group.group)
    differences = [difference(one, must) for one, must in zip(found, users, strict=True)]
    differences.append(difference(full, group))
    return refusals, [full], [said for said in differences if said]


async def _ask(caller: Caller, case: Case, run: str) -> httpx.Response:
    return await caller.user("POST", GENERATIONS, case.org, f"{case.name}.{run}", case.asked)


async def _call_off(caller: Caller, case: Case, run: str, granted: httpx.Response) -> None:
    path = f"{GENERATIONS}/{answered(GENERATIONS, granted)['generation_id']}/cancel"
    answered(path, await caller.user("POST", path, case.org, f"{case.name}.{run}", {}))


def _told(answer: httpx.Response, case: Case, run: str) -> Refusal:
    told, user = answer.json(), f"{case.name}.{run}"
    if answer.status_code != case.status or told.get("code") != case.code:
        said = told.get("code", "it was granted")
        raise Failure(f"{user} must be refused with {case.status} {case.code}, but: {answer.status_code} {said}.")
    return Refusal(case.code, case.status, case.org, user, str(told["detail"]))


async def _fill_group(caller: Caller, run: str) -> GroupFigures:
    """A group of one with room for one image, which was made elsewhere and is tracked."""
    (case,) = (case for case in CASES if case.code == "group_limit")
    user = f"{case.name}.{run}"
    group = GroupFigures(org=case.org, group=f"{GROUP}.{run}", members=1, image=Level(1, 1), video=Level(0, 1))
    await set_up_group(caller, group, [user])
    tracked = await caller.worker("/api/track-generation", case.org, {"user_id": user, "type": "image"})
    if not tracked["allowed"]:
        raise Failure(f"{user} could not use the only image of the group: {tracked.get('error')}")
    return group


async def _fill_storage(caller: Caller, run: str) -> None:
    """An upload of 195 MB, confirmed by a worker over HTTP."""
    (case,) = (case for case in CASES if case.stored)
    upload = {"user_id": f"{case.name}.{run}", "operation": "upload", "bytes": case.stored}
    held = await caller.worker(GENERATIONS, case.org, upload)
    path = f"{GENERATIONS}/{held['generation_id']}/confirm"
    await caller.worker(path, case.org, {"content": {"bytes": case.stored}})
