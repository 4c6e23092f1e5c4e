"""How full a user's storage is (S0), read from the write side."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute

from api.acting import seen_user
from api.current import ask
from api.fields import UserId
from api.operation import Call
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.schemas_generations import StorageUse as StorageAnswer
from api.services import Services
from domain.storage.now import StorageNow, StorageUse
from domain.wording import bytes_share_text
from infra.position import format_position


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def read_my_storage(call: Annotated[Call, Depends(call_of)], user_id: UserId = None) -> Json:
        user = seen_user(call, user_id) or call.principal.sub
        answered = await ask(services, call.org, StorageNow(user=user, default_limit=call.defaults.storage_limit))
        told = {"user_id": user, **storage_answer(answered.value), "position": format_position(answered.position)}
        return Json(told)

    return [ReadRoute("/api/v1/storage/me", read_my_storage, services, "What is stored, and the limit", StorageAnswer)]


def storage_answer(use: StorageUse) -> dict[str, Any]:
    """Bytes, and the same for people: `195 MB of 200 MB (97.5 %)`. What is held is apart from what is stored."""
    return {
        "used": use.used,
        "held": use.held,
        "limit": use.limit,
        "available": use.free,
        "percent": use.used * 1000 // use.limit / 10 if use.limit else 100.0,
        "formatted": bytes_share_text(use.used, use.limit),
    }
