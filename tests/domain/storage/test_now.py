"""How full a storage is (S0)."""

import pytest

from domain.organisations.state import STREAM as ORGANISATION
from domain.quotas.events import UseHeld, UseSettled
from domain.storage.state import StorageUse
from tests.domain.scenario import Scenario, after
from tests.domain.storage.facts import ANNA, GB, MB, limit, now, pro, stored


def test_s0_usage_is_the_sum_of_what_is_stored() -> None:
    """S0-5."""
    scenario = Scenario().given(stored("c1", 5 * MB), stored("c2", 7 * MB), of=ANNA)
    assert now(scenario) == StorageUse(used=12 * MB, held=0, limit=GB)
    assert now(scenario, "ben") == StorageUse(used=0, held=0, limit=GB)


def test_s0_the_limit_is_the_users_else_the_plans_else_the_deployments() -> None:
    """S0-5."""
    scenario = Scenario()
    assert now(scenario).limit == GB
    scenario.given(pro(None), of=ORGANISATION)
    assert now(scenario).limit == GB
    scenario.given(pro(500 * MB), of=ORGANISATION)
    assert now(scenario).limit == 500 * MB
    scenario.done(limit(0))
    assert now(scenario).limit == 0
    scenario.done(limit(None))
    assert now(scenario).limit == 500 * MB


def test_what_is_held_is_not_free_until_it_ends() -> None:
    """S0-5."""
    held = UseHeld(generation_id="j1", amounts={"bytes": 10 * MB}, expires_at=after(60))
    scenario = Scenario().given(stored("c1", 5 * MB), held, of=ANNA)
    assert now(scenario).free == GB - 15 * MB
    settled = UseSettled(generation_id="j1", used={}, returned={"bytes": 10 * MB})
    scenario.given(stored("c2", 3 * MB), settled, of=ANNA)
    assert now(scenario) == StorageUse(used=8 * MB, held=0, limit=GB)


@pytest.mark.parametrize(("used", "free"), [(195, 5), (200, 0), (201, 0)])
def test_s0_worked_example_195_of_200_mb(used: int, free: int) -> None:
    """S0-6: 195 MB of 200 MB leave 5 MB, so a video of 10 MB lacks 5; a storage exactly full has nothing free."""
    use = now(Scenario().given(stored("c1", used * MB), of=ANNA).done(limit(200 * MB)))
    assert use.free == free * MB
