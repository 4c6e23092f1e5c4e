"""The settings of users and models: one call for each that a resource declares."""

from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from api.http.caller import Call, own_only
from api.http.command import Command, command
from api.http.endpoint import Answer, Endpoint, endpoint
from api.http.fields import Body, Model, value_of
from api.http.limits import Begins
from api.http.policy import May
from api.http.problems import invalid
from domain.resources.table import RESOURCES
from domain.settings.change import ChangeSettings, SettingsNow
from domain.settings.setting import Owner, Setting, known_as
from infra.position import format_position
from infra.writer.submission import Outcome

_MODEL: TypeAdapter[str] = TypeAdapter(Model)


class UserSettingAnswer(BaseModel):
    """The user's own setting as it is now; null: none."""

    user_id: str
    limit: int | None
    position: str


class ModelSettingAnswer(BaseModel):
    """The model's setting as it is now; null: none."""

    model: str
    limit: int | None
    position: str


def path_of(setting: Setting) -> str:
    """The path of one setting of a user or a model; names of models may have slashes."""
    owner = "users/{id}" if setting.on is Owner.USER else "models/{model:path}"
    return f"/api/v1/{owner}/{setting.name.replace('_', '-')}"


def must_be_a_model(name: str) -> None:
    """Raises Problem (422) for what cannot be the name of a model."""
    try:
        _MODEL.validate_python(name)
    except ValidationError:
        raise invalid("model", "in the path is not of the right form") from None


def _operation(setting: Setting) -> Command:
    """The call that sets one setting of one user or model."""
    on = setting.on
    part = "id" if on is Owner.USER else "model"

    def build(call: Call, body: Any, _sealed: str | None) -> ChangeSettings:
        return ChangeSettings(on=on, id=call.params[part], settings={setting.name: body.limit})

    async def tell(call: Call, body: Any, _outcome: Outcome) -> Answer:
        who = {"user_id" if on is Owner.USER else "model": call.params[part]}
        return {**who, "limit": body.limit}

    def check(call: Call, _body: Any) -> None:
        if on is Owner.MODEL:
            must_be_a_model(call.params[part])

    words = setting.name.split("_")
    body = create_model(f"{on.title()}{''.join(words).title()}Body", __base__=Body, limit=(value_of(setting), ...))
    body.__doc__ = f"`limit`: {setting.about}"
    declare = command(
        f"PUT {path_of(setting)}",
        May.SET_LIMITS,
        UserSettingAnswer if on is Owner.USER else ModelSettingAnswer,
        name=f"set_{on}_{setting.name}",
        summary=f"Set the {' '.join(words)} of a {on}",
        body=body,
        tell=tell,
        check=check,
        begins=lambda call, _body: Begins(on, known_as(on, call.params[part])),
    )
    return declare(build)


SETTINGS = tuple(_operation(each) for on in (Owner.USER, Owner.MODEL) for each in RESOURCES.settings[on].values())


class SettingRow(BaseModel):
    """A whole number from `least` to `most`, or null for none. `label` and `about` are for people."""

    name: str
    on: Owner
    label: str
    about: str
    least: int
    most: int


class SettingList(BaseModel):
    """All that may be set, by whose it is."""

    items: list[SettingRow]
    next_cursor: str | None


@endpoint("GET /api/v1/settings", May.READ_GENERATIONS, SettingList)
async def list_settings(_call: Call) -> dict[str, Any]:
    """What may be set, and whose it is."""
    declared = (each for owner in RESOURCES.settings.values() for each in owner.values())
    items = [{name: getattr(each, name) for name in SettingRow.model_fields} for each in declared]
    return {"items": items, "next_cursor": None}


def _of_user(setting: Setting) -> Endpoint:
    async def read(call: Call, id: str) -> dict[str, Any]:
        own_only(call, id)
        return {"user_id": id, **await _now(call, setting, id)}

    return _read(setting, UserSettingAnswer, read)


def _of_model(setting: Setting) -> Endpoint:
    async def read(call: Call, model: str) -> dict[str, Any]:
        must_be_a_model(model)
        return {"model": model, **await _now(call, setting, model)}

    return _read(setting, ModelSettingAnswer, read)


def _read(setting: Setting, answers: type[BaseModel], handler: Any) -> Endpoint:
    summary = f"The {setting.name.replace('_', ' ')} of a {setting.on}"
    name = f"read_{setting.on}_{setting.name}"
    declare = endpoint(f"GET {path_of(setting)}", May.READ_GENERATIONS, answers, name=name, summary=summary)
    return declare(handler)


async def _now(call: Call, setting: Setting, id_: str) -> dict[str, Any]:
    """As it is at this moment. Raises Problem (503)."""
    answered = await call.ask(SettingsNow(on=setting.on, id=id_))
    return {"limit": answered.value.get(setting.name), "position": format_position(answered.position)}


READ_SETTINGS = (
    *(_of_user(each) for each in RESOURCES.settings[Owner.USER].values()),
    *(_of_model(each) for each in RESOURCES.settings[Owner.MODEL].values()),
)
