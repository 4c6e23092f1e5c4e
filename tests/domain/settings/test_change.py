"""A resource that lets every kind of owner set something: from the command to the event and the state."""

from typing import Any

import pytest

from api.http.fields import given_settings, shown_settings, with_settings
from domain.groups.commands import CreateGroup, EditGroup
from domain.groups.events import GroupCreated, GroupEdited
from domain.kernel.memory import Memory
from domain.organisations.commands import ChoosePlan, ConfigureOrganisation
from domain.organisations.events import OrganisationConfigured, PlanChosen
from domain.organisations.refusals import InvalidSetting
from domain.organisations.state import STREAM, Organisation
from domain.plans.events import PlanPublished
from domain.plans.publish import PublishPlan
from domain.registry import SCRIP, scrip
from domain.resources.table import RESOURCES, Resources
from domain.settings.change import ChangeSettings
from domain.settings.setting import Owner, OwnSettings, Setting, SettingsChanged, stream_of
from infra.partitions import PLATFORM
from tests.domain.resources.test_new_resource import Gpu
from tests.domain.scenario import NOW


class _Set(Gpu):
    """GPU seconds, of which everybody may set something."""

    settings = tuple(Setting(name=f"gpu_of_{on}", on=on, about="Seconds.", least=1, most=9) for on in Owner)


TABLE = Resources(*RESOURCES.all, _Set())
DOMAIN = scrip(TABLE)


class _Ledger(Memory):
    def __init__(self) -> None:
        super().__init__(DOMAIN, PLATFORM)

    def done(self, command: Any, org: str = "acme") -> Any:
        """The last event of a command that must be accepted."""
        decided = self.run(command, org, NOW)
        assert decided.refusal is None, decided.refusal
        return decided.events[-1][1]

    def refused(self, command: Any) -> Any:
        return self.run(command, "acme", NOW).refusal


def test_it_is_set_kept_and_removed_on_an_organisation() -> None:
    ledger = _Ledger()
    event = ledger.done(ConfigureOrganisation(settings={"gpu_of_organisation": 5}))
    assert isinstance(event, OrganisationConfigured)
    assert event.settings == {"gpu_of_organisation": 5}
    assert ledger.done(ConfigureOrganisation(time_zone="Europe/Berlin")).settings == {"gpu_of_organisation": 5}
    assert ledger.state("acme", STREAM).settings == {"gpu_of_organisation": 5}
    assert ledger.done(ConfigureOrganisation(settings={"gpu_of_organisation": None})).settings == {}


def test_it_is_set_kept_and_removed_on_a_group() -> None:
    ledger = _Ledger()
    event = ledger.done(CreateGroup(group_id="g", name="G", settings={"gpu_of_group": 9}))
    assert isinstance(event, GroupCreated)
    assert event.settings == {"gpu_of_group": 9}
    edited = ledger.done(EditGroup(group_id="g", name="H"))
    assert isinstance(edited, GroupEdited)
    assert edited.settings == ledger.state("acme", "group/g").settings == {"gpu_of_group": 9}
    assert ledger.done(EditGroup(group_id="g", settings={"gpu_of_group": None})).settings == {}


def test_that_of_a_plan_is_copied_to_who_chooses_it_and_ends_with_it() -> None:
    ledger = _Ledger()
    published = ledger.done(PublishPlan(plan="pro", name="Pro", settings={"gpu_of_plan": 3}), PLATFORM)
    assert isinstance(published, PlanPublished)
    assert published.settings == {"gpu_of_plan": 3}
    chosen = ledger.done(ChoosePlan(plan="pro"))
    assert isinstance(chosen, PlanChosen)
    assert chosen.settings == ledger.state("acme", STREAM).plan_settings == {"gpu_of_plan": 3}
    ledger.done(PublishPlan(plan="pro", name="Pro"), PLATFORM)
    assert ledger.state("acme", STREAM).plan_settings == {"gpu_of_plan": 3}, "terms stay as they were chosen"
    ledger.done(ChoosePlan(plan="starter"))
    assert ledger.state("acme", STREAM).plan_settings == {}


@pytest.mark.parametrize(("on", "id_", "stream"), [("user", "Ann", "Ann"), ("model", "FLUX.1 [dev]", "flux.1 [dev]")])
def test_users_and_models_have_streams_of_their_own(on: str, id_: str, stream: str) -> None:
    ledger, owner = _Ledger(), Owner(on)
    event = ledger.done(ChangeSettings(on=owner, id=id_, settings={f"gpu_of_{on}": 1}))
    assert event == SettingsChanged(settings={f"gpu_of_{on}": 1})
    assert stream_of(owner, id_) == f"settings/{on}/{stream}"
    assert ledger.state("acme", f"settings/{on}/{stream}") == OwnSettings({f"gpu_of_{on}": 1})
    assert ledger.done(ChangeSettings(on=owner, id=id_, settings={f"gpu_of_{on}": None})).settings == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpu_of_user": 0}, "gpu_of_user: must be 1 to 9."),
        ({"gpu_of_user": 10}, "gpu_of_user: must be 1 to 9."),
        ({"gpu_of_group": 5}, "gpu_of_group: is no setting of a user."),
    ],
)
def test_what_is_not_declared_or_out_of_range_is_refused(settings: dict[str, int], said: str) -> None:
    refusal = _Ledger().refused(ChangeSettings(on=Owner.USER, id="ann", settings=settings))
    assert isinstance(refusal, InvalidSetting)
    assert str(refusal) == said


def test_two_of_one_name_are_no_table() -> None:
    class Other(_Set):
        name = figure = "other"

    with pytest.raises(ValueError, match="two settings of one organisation have one name"):
        Resources(_Set(), Other())


def test_a_resource_that_came_after_the_setting_is_checked() -> None:
    before = Memory(SCRIP, PLATFORM)
    before.run(ConfigureOrganisation(enforce=("credits",)), "acme", NOW)
    organisation: Organisation = before.state("acme", STREAM)
    assert not organisation.enforces("tokens")
    assert organisation.enforces("gpu"), "nobody has switched it off"
    assert organisation.known == SCRIP.resources.enforceable
    ledger = _Ledger()
    ledger.put("acme", STREAM, organisation)
    ledger.done(ConfigureOrganisation(enforce=("credits",)))
    assert not ledger.state("acme", STREAM).enforces("gpu")


def test_bodies_and_answers_have_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    from api.http.fields import Body

    monkeypatch.setattr("api.http.fields.RESOURCES", TABLE)

    @with_settings(Owner.USER)
    class Some(Body):
        """Some body."""

        plain: int = 0

    assert Some.__doc__ == "Some body."
    assert Some.model_json_schema()["properties"]["gpu_of_user"]["description"] == "Seconds."
    assert given_settings(Some.model_validate({"plain": 1}), Owner.USER) == {}
    assert given_settings(Some.model_validate({"gpu_of_user": None}), Owner.USER) == {"gpu_of_user": None}
    assert given_settings(Some.model_validate({"gpu_of_user": 9}), Owner.USER) == {"gpu_of_user": 9}
    for wrong in (0, 10, "5", 5.0, True):
        with pytest.raises(ValueError, match="gpu_of_user"):
            Some.model_validate({"gpu_of_user": wrong})
    assert shown_settings({}, Owner.USER)["gpu_of_user"] is None
    assert shown_settings({"gpu_of_user": 2}, Owner.USER)["gpu_of_user"] == 2
