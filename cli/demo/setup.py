"""Sets the demo's organisations, groups and users up, over HTTP, as an admin of the platform does."""

from __future__ import annotations

from asyncio import gather
from typing import Any

import httpx

from cli.api_client import in_path, problem_of
from cli.demo.caller import Caller, answered
from cli.demo.figures import GroupFigures, Needs, Price, UserFigures
from cli.demo.plan import AGENCY, BUSY, ITEMS, PLANS
from cli.failure import Failure
from domain.budgets.state import DEFAULT_BUDGET


async def price_all(caller: Caller, run: str) -> dict[str, Price]:
    """What the service would take for each thing that can be asked for, by its own check."""
    org, user = AGENCY, f"carl.{run}"
    # Enough of everything, because a check that fails is counted as a blocked user.
    for address, amount in ((f"user:{user}:credits", 100_000), (f"user:{user}:tokens", 10_000)):
        await grant(caller, org, address, amount)
    await grant(caller, org, f"org:{org}:tokens.general", 1, "gift")

    async def price(asked: dict[str, Any]) -> Price:
        return Price.of((await caller.worker("/api/v1/generations/check", org, {"user_id": user, **asked}))["quote"])

    return dict(zip((item.key for item in ITEMS), await gather(*(price(item.asked) for item in ITEMS)), strict=True))


async def set_up_organisations(caller: Caller) -> None:
    """Each organisation on its plan; those that an earlier demo set up stay as they are."""
    for org, plan in PLANS.items():
        token = caller.token(org, "admin-1", "admin")
        answer = await caller.call("POST", "/api/v1/organisations", token, {"id": org, "plan": plan})
        if answer.is_success:
            continue
        if answer.status_code != httpx.codes.CONFLICT:
            raise Failure(f"POST /api/v1/organisations: {problem_of(answer)}")
        found = await caller.admin("GET", f"/api/v1/organisations/{org}", org)
        if found["plan"] != plan:
            await caller.admin("PUT", f"/api/v1/organisations/{org}/plan", org, {"plan": plan})


async def set_up_needs(caller: Caller, needs: Needs) -> dict[str, dict[str, int]]:
    """Groups, users and plan tokens as the plan needs them; the plan tokens that each organisation has then, by type.

    What the organisation's plan does not allow is given by the admin.
    """
    await gather(*(set_up_user(caller, user) for user in needs.users()))
    members: dict[str, list[str]] = {org: [] for org in BUSY}
    for user in needs.users():
        members[user.org].append(user.user)
    await gather(*(set_up_group(caller, group, members[group.org]) for group in needs.groups()))
    return {org: await _plan_tokens(caller, org, needs.plan_tokens(org, charged_only=False)) for org in BUSY}


async def set_up_user(caller: Caller, user: UserFigures) -> None:
    """What the user may use: credits, tokens, storage and, where it is not the default, a budget."""
    calls = [
        grant(caller, user.org, f"user:{user.user}:{unit}", level.limit)
        for unit, level in (("credits", user.credits), ("tokens", user.tokens))
        if level.limit
    ]
    path = f"/api/v1/users/{in_path(user.user)}"
    calls.append(caller.admin("PUT", f"{path}/storage-limit", user.org, {"bytes": user.storage.limit}))
    if user.budget.limit != DEFAULT_BUDGET:
        budget = {"monthly_budget": str(user.budget.limit // 1_000_000)}
        calls.append(caller.admin("PUT", f"{path}/budget", user.org, budget))
    await gather(*calls)


async def set_up_group(caller: Caller, group: GroupFigures, members: list[str]) -> None:
    """A group with its limits and members."""
    limits = {"image_limit": group.image.limit, "video_limit": group.video.limit}
    name = group.group.partition(".")[0].capitalize()
    await caller.admin("POST", "/api/groups", group.org, {"id": group.group, "name": name, **limits})
    joined = {"group_id": group.group, "user_ids": members}
    await caller.admin("POST", "/api/group-members", group.org, joined)


async def grant(caller: Caller, org: str, address: str, amount: int, source: str = "promotion") -> None:
    """Give an account credits or tokens."""
    path = f"/api/v1/accounts/{in_path(address)}/grants"
    await caller.admin("POST", path, org, {"amount": amount, "source": source, "reason": "welcome to the demo"})


async def organisation(caller: Caller, org: str) -> dict[str, Any]:
    """An organisation as it is now."""
    found: dict[str, Any] = answered(
        org, await caller.call("GET", f"/api/v1/organisations/{org}", caller.token(org, "auditor-1", "auditor"))
    )
    return found


async def _plan_tokens(caller: Caller, org: str, needed: dict[str, int]) -> dict[str, int]:
    has = there_are(await organisation(caller, org))
    missing = {token_type: amount - has[token_type] for token_type, amount in needed.items()}
    for token_type, amount in missing.items():
        if amount > 0:
            await grant(caller, org, f"org:{org}:tokens.{token_type}", amount, "gift")
            has[token_type] += amount
    return has


def there_are(found: dict[str, Any]) -> dict[str, int]:
    """The plan tokens of an organisation by type, those that are held included."""
    return {token_type: each["balance"] + each["reserved"] for token_type, each in found["tokens"].items()}
