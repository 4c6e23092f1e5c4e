"""The client on a network that fails: one key for each click, the truth afterwards, a journal where it is chosen."""

from collections.abc import Callable
from time import monotonic

from playwright.sync_api import Route, expect

from tests.browser.components.conftest import PATIENCE_S, POLL_MS, Embed, Embedded

CREDITS_ME = "**/api/credits/me"
ANY = "**/api/**"
RESERVE = "(amount) => client.reserve({amount}).then((told) => [null, told], (error) => [error.name, error.code])"
QUIET = ["Failed to load resource", "net::ERR"]


class Line:
    """A line to the service that is cut for the first `losses` requests; `keys` are those that were sent."""

    def __init__(self, losses: int, fail: Callable[[Route], None]) -> None:
        self.losses, self.fail = losses, fail
        self.keys: list[str | None] = []

    def __call__(self, route: Route) -> None:
        self.keys.append(route.request.header_value("idempotency-key"))
        if len(self.keys) <= self.losses:
            self.fail(route)
        else:
            route.continue_()


def cut(route: Route) -> None:
    route.abort("connectionreset")


def lose_the_answer(route: Route) -> None:
    """The service hears the request, the browser no answer: the outcome is unknown."""
    route.fetch()
    route.abort("connectionreset")


def unavailable(route: Route) -> None:
    route.fulfill(status=503, json={"code": "overloaded", "detail": "busy"}, headers={"Retry-After": "0"})


def reserved(made: Embedded) -> int:
    told: int = made.user.get("/api/auth/me").json()["credits"]["reserved"]
    return told


def test_a_click_has_one_key_through_all_retries_and_holds_once(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    made.start("")
    for fail in (cut, lose_the_answer, unavailable):
        before = reserved(made)
        line = Line(2, fail)
        made.page.route(CREDITS_ME, line)
        failure, told = made.run(RESERVE, 100)
        made.page.unroute(CREDITS_ME)
        assert failure is None, told
        assert len(line.keys) == 3
        assert len(set(line.keys)) == 1
        assert line.keys[0]
        assert reserved(made) == before + 100


def test_two_clicks_have_two_keys(embed: Embed) -> None:
    made = embed()
    made.grant(1000)
    made.start("")
    line = Line(0, cut)
    made.page.route(CREDITS_ME, line)
    made.run(RESERVE, 100)
    made.run(RESERVE, 100)
    assert len(set(line.keys)) == 2
    assert reserved(made) == 200


def test_unreachable_is_refused_by_default_and_the_truth_is_read(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    made.start("<scrip-credits></scrip-credits>")
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("1,000 available")
    line = Line(4, lose_the_answer)  # all four attempts reach the service, no answer comes back
    made.page.route(CREDITS_ME, line)
    assert made.run(RESERVE, 100) == ["Unreachable", "unreachable"]
    assert len(line.keys) == 4
    expect(balance).to_contain_text("900 available, 100 in progress")  # what has really happened
    made.page.unroute(CREDITS_ME)
    again = "(key) => client.reserve({amount: 100}, {key}).then((told) => told.transaction_id)"
    assert made.run(again, line.keys[0])  # the click tried again with its key
    assert reserved(made) == 100


def test_too_many_requests_wait_as_long_as_asked(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    made.start("")

    def limited(route: Route) -> None:
        route.fulfill(status=429, json={"code": "rate_limited", "detail": "slow"}, headers={"Retry-After": "1"})

    line = Line(1, limited)
    made.page.route(CREDITS_ME, line)
    began = monotonic()
    assert made.run(RESERVE, 100)[0] is None
    assert monotonic() - began >= 1
    assert len(set(line.keys)) == 1


def test_an_ended_login_is_renewed_once(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.start("")
    told = made.run(
        """async () => {
            const asked = [], token = await client.http.token();
            const getToken = (renew) => (asked.push(renew), asked.length > 1 ? token : "x");
            const other = scrip.createClient({getToken});
            return [(await other.me()).user.id, asked.length];
        }"""
    )
    assert told == ["u1", 2]


def test_the_journal_takes_holds_up_to_its_cap_and_sends_them_when_the_service_is_back(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    made.start("<scrip-credits></scrip-credits>", offline={"mode": "journal", "cap": 250}, retries=1)
    balance = made.page.locator("scrip-credits")
    expect(balance).to_contain_text("1,000 available")
    made.page.route(ANY, cut)
    failure, first = made.run(RESERVE, 100)
    assert (failure, first["status"]) == (None, "journaled")
    assert made.run(RESERVE, 200) == ["Unreachable", "unreachable"]  # above the cap
    failure, second = made.run(RESERVE, 150)
    assert failure is None
    expect(balance).to_contain_text("750 available, 250 in progress")
    made.run("([good, bad]) => Promise.all([client.confirm(good), client.rollback(bad)])", _ids(first, second))
    assert reserved(made) == 0  # nothing has been sent
    made.page.unroute(ANY)
    made.run("() => dispatchEvent(new Event('online'))")
    _until_credits(made, {"available": 900, "reserved": 0})
    expect(balance).to_have_text("Credits900 available")
    assert made.run("() => Object.values(localStorage)") == ["[]"]


def test_the_outcome_of_a_hold_is_journaled_too(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    made.start("<scrip-credits></scrip-credits>", offline={"mode": "journal", "cap": 250}, retries=0)
    _, held = made.run(RESERVE, 100)
    made.page.route(ANY, cut)
    assert made.run("(id) => client.confirm(id)", held["transaction_id"])["status"] == "journaled"
    made.page.unroute(ANY)
    made.run("() => dispatchEvent(new Event('online'))")
    _until_credits(made, {"available": 900, "reserved": 0})
    expect(made.page.locator("scrip-credits")).to_have_text("Credits900 available")


def test_the_journal_outlives_the_page_and_is_nobody_elses(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.grant(1000)
    offline = {"mode": "journal", "cap": 250}
    made.start("", offline=offline, retries=0)
    made.page.route(ANY, cut)
    failure, told = made.run(RESERVE, 100)
    assert failure is None
    made.run("(id) => client.confirm(id)", told["transaction_id"])
    made.page.goto("/livez")
    made.page.unroute(ANY)
    mine, made.user.headers["Authorization"] = made.user.headers["Authorization"], made.boss.headers["Authorization"]
    made.start("", offline=offline)  # another person at the same browser
    made.run("() => client.me()")
    made.user.headers["Authorization"] = mine
    assert made.user.get("/api/auth/me").json()["credits"]["available"] == 1000
    made.start("", offline=offline)
    _until_credits(made, {"available": 900, "reserved": 0})


def test_a_journaled_hold_that_is_refused_later_is_reported(embed: Embed) -> None:
    made = embed(allow=QUIET)
    made.start("", offline={"mode": "journal", "cap": 250}, retries=0)
    made.page.route(ANY, cut)
    assert made.run(RESERVE, 100)[0] is None
    made.run("""() => client.store.addEventListener("replay-refused",
        ({detail}) => (window.refusedLater = [detail.entry.amount, detail.error.code]))""")
    made.page.unroute(ANY)
    made.run("() => dispatchEvent(new Event('online'))")
    made.until("window.refusedLater")
    assert made.run("() => refusedLater") == [100, "insufficient_credits"]


def _ids(*told: dict[str, str]) -> list[str]:
    return [each["transaction_id"] for each in told]


def _until_credits(made: Embedded, wanted: dict[str, int]) -> None:
    ends = monotonic() + PATIENCE_S
    while (found := made.user.get("/api/auth/me").json()["credits"]) != wanted:
        assert monotonic() < ends, f"{found} is not {wanted}"
        made.page.wait_for_timeout(POLL_MS)
