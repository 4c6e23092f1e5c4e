"""The one table of limited resources, and the orders that follow from it."""

import pytest

from domain.generations.events import GenerationExtended, Held, ResourceCheck
from domain.organisations.state import Organisation
from domain.registry import SCRIP
from domain.resources.credits import CREDITS
from domain.resources.table import RESOURCES, Resources
from infra.log.mapper import LedgerMapper
from tests.domain.generations.facts import ENDS
from tests.resource_names import Resource


def _names(resources: object) -> list[str]:
    return [each.name for each in resources]  # type: ignore[attr-defined]


def test_checks_holds_and_reasons_are_in_the_order_of_the_contract() -> None:
    assert SCRIP.resources is RESOURCES
    assert _names(RESOURCES) == ["plan", "groups", "budget", "storage", "tokens", "credits", "running"]
    assert RESOURCES.reasons == (
        "plan_blocked", "group_limit", "budget_exceeded", "insufficient_storage", "insufficient_tokens",
        "insufficient_credits", "too_many_running",
    )  # fmt: skip


def test_what_is_charged_is_charged_to_accounts_first() -> None:
    assert _names(RESOURCES.settling) == ["credits", "tokens", "plan", "groups", "budget", "storage", "running"]


def test_settings_have_an_order_of_their_own() -> None:
    assert RESOURCES.enforceable == tuple(Resource) == (*Organisation().enforce, "running")
    assert all(Organisation().enforces(name) for name in Resource)


def test_a_name_twice_is_no_table() -> None:
    with pytest.raises(ValueError, match="two resources have one name"):
        Resources(CREDITS, CREDITS)


def test_a_resource_of_another_version_is_shown_in_plain_words() -> None:
    check = ResourceCheck("gpu", False, "insufficient_gpu", 5, 2, None, "gpu")
    shown = RESOURCES.shown("gpu")
    assert shown.sentence(check) == "Not enough gpu. You need 5 but only have 2."
    assert [action.label for action in shown.actions(check.reason)] == ["Ask Your Admin"]
    assert shown.place("gpu/ann") == ("gpu", "ann")
    assert shown.whose("gpu/ann") == "gpu/ann"
    with pytest.raises(KeyError):
        RESOURCES.by_name["gpu"]


def test_an_event_of_another_version_is_read() -> None:
    codec = LedgerMapper.of(SCRIP)
    extended = GenerationExtended(generation_id="j", expires_at=ENDS, holds=(Held("gpu", "gpu/ann", {"gpu": 5}),))
    assert codec.decode(*codec.encode(extended, "svc_api", "k")) == extended
