"""Read model: the settings of users and models."""

from dataclasses import dataclass
from datetime import datetime

from domain.settings.setting import SettingsChanged, Values
from projections.facts import Fact, follows
from projections.read_model import ReadModel, State


@dataclass(slots=True)
class SettingsRow:
    """One row for each user and model whose settings were ever changed. `owner`: user or model. `id`: a model's is in
    lower case. `settings`: by name, those that are set.
    """

    org: str
    owner: str
    id: str
    settings: Values
    version: int
    position: int
    updated_at: datetime


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event."""
    rows, key = state.rows(SETTINGS), _key(fact)
    row = rows.get(key)
    follows(fact, row.version if row else 0)
    rows.put(key, SettingsRow(*key, fact.event.settings, fact.version, fact.position, fact.time))


def _key(fact: Fact) -> tuple[str, str, str]:
    owner, _, id_ = fact.id.partition("/")
    return fact.org, owner, id_


SETTINGS: ReadModel[SettingsRow] = ReadModel(
    name="settings",
    row=SettingsRow,
    key=("org", "owner", "id"),
    events={"settings": (SettingsChanged,)},
    fold=fold,
    needs=lambda needed, fact: needed.row(SETTINGS, _key(fact)),
    fillfactor=70,
)
