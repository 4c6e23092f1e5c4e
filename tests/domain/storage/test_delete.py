"""Deleting a stored content frees its bytes, once (S0)."""

from domain.storage.commands import DeleteContent
from domain.storage.events import ContentDeleted
from domain.storage.refusals import NoSuchContent
from tests.domain.scenario import Scenario
from tests.domain.storage.facts import ANNA, BEN, MB, delete, now, stored


def test_s0_deleting_a_content_frees_its_bytes() -> None:
    """S0-5."""
    scenario = Scenario().given(stored("c1", 5 * MB), stored("c2", 7 * MB), of=ANNA)
    scenario.when(DeleteContent(user="anna", content_id="c1")).then(
        (ANNA, ContentDeleted(content_id="c1", bytes=5 * MB))
    )
    assert now(scenario).used == 7 * MB


def test_a_content_is_deleted_once() -> None:
    scenario = Scenario().given(stored("c1", 5 * MB), of=ANNA).done(delete("c1"))
    refusal = NoSuchContent(content_id="c1")
    scenario.when(delete("c1")).then_refused(refusal)
    assert str(refusal) == "There is no content c1."
    assert now(scenario).used == 0


def test_what_was_never_stored_cannot_be_deleted() -> None:
    Scenario().when(delete("c1")).then_refused(NoSuchContent(content_id="c1"))


def test_another_users_content_is_none_of_this_users() -> None:
    scenario = Scenario().given(stored("c1", 5 * MB), of=BEN)
    scenario.when(delete("c1")).then_refused(NoSuchContent(content_id="c1"))
    assert now(scenario, "ben").used == 5 * MB
