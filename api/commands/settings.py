"""The settings of users and models: one call for each that a resource declares."""

from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from api.answers import Answer
from api.fields import Body, Model
from api.http.caller import Call
from api.http.command import Command, command
from api.http.policy import May
from api.problems import invalid
from api.setting_fields import value_of
from api.streams_room import Begins
from domain.resources.table import RESOURCES
from domain.settings.change import ChangeSettings
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

    async def tell(call: Call, body: Any, outcome: Outcome) -> Answer:
        who = {"user_id" if on is Owner.USER else "model": call.params[part]}
        return {**who, "limit": body.limit, "position": format_position(outcome.position)}

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
