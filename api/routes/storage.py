"""How full a user's storage is (S0), read from the write side."""

from typing import Any

from api.current import ask
from api.fields import UserId
from api.http.caller import Call, seen_user
from api.http.endpoint import endpoint
from api.http.policy import May
from api.reading import Json
from api.schemas_generations import StorageUse as StorageAnswer
from domain.storage.now import StorageNow, StorageUse
from domain.wording import bytes_share_text
from infra.position import format_position


@endpoint("GET /api/v1/storage/me", May.READ_GENERATIONS, StorageAnswer)
async def read_my_storage(call: Call, user_id: UserId = None) -> Json:
    """What is stored, and the limit."""
    user = seen_user(call, user_id) or call.principal.sub
    answered = await ask(
        call.services, call.org, StorageNow(user=user, default_limit=call.services.defaults.storage_limit)
    )
    told = {"user_id": user, **storage_answer(answered.value), "position": format_position(answered.position)}
    return Json(told)


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
