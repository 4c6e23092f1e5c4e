"""The calls that only the real service knows: oneself, browsers' tokens, transfers, lists, other organisations."""

from collections.abc import Iterator

import httpx
import pytest
from scrip_client import AsyncScrip, Forbidden, InsufficientResources, RateLimited, Scrip

from tests.api.generating import give
from tests.api.service import ORG, Service


@pytest.fixture
def admin(service: Service) -> Iterator[Scrip]:
    with Scrip(service.url, token=lambda: service.token("org_admin", "boss")) as scrip:
        yield scrip


def test_oneself_and_a_browsers_token(service: Service, admin: Scrip, user: str) -> None:
    give(service, f"user:{user}:credits", 70)
    browser = admin.session_token(user, ttl_seconds=60)
    with Scrip(service.url, token=browser.token) as own:
        told = own.me()
        assert (told.user, told.credits.available) == ({"id": user, "org": ORG, "role": "user"}, 70)
        assert told.storage is not None


def test_accounts_are_listed_with_what_happened(service: Service, admin: Scrip, user: str) -> None:
    account = f"user:{user}:credits"
    granted = admin.grant(account, 100, source="gift", paid={"amount": "9.99", "currency": "EUR"})
    held = admin.reserve(account, 30, metadata={"a": 1})
    moved = admin.transfer(account, f"user:{user}x:credits", 20)
    service.project()
    (grant,) = admin.grants(account, min_position=moved.position)
    assert (grant.grant_id, grant.remaining, grant.reserved) == (granted.grant_id, 50, 30)
    (reservation,) = admin.reservations(account, status="held")
    assert (reservation.reservation_id, reservation.left, reservation.metadata) == (held.reservation_id, 30, {"a": 1})
    assert sorted(one.amount for one in admin.transactions(account)) == [-30, -20, 100]


def test_any_other_call_has_the_same_errors(admin: Scrip) -> None:
    assert admin.request("GET", "/api/v1/plans")["items"]
    with pytest.raises(Forbidden):
        admin.request("PUT", "/api/v1/prices", {"entries": []})


def test_the_platforms_admin_names_the_organisation(service: Service, user: str) -> None:
    token = service.token("admin", "root", org="platform-team")
    with Scrip(service.url, token=token, organisation="elsewhere") as scrip:
        scrip.grant(f"user:{user}:credits", 5, source="gift")
        assert scrip.balance(f"user:{user}:credits").available == 5
    with Scrip(service.url, token=token) as scrip:
        assert scrip.balance(f"user:{user}:credits").available == 0
    with Scrip(service.url, token=service.token("worker"), organisation="elsewhere") as scrip, pytest.raises(Forbidden):
        scrip.me()


def test_a_client_needs_no_block_around_it(service: Service) -> None:
    scrip = Scrip(service.url, token=service.token("worker", "w"), transport=httpx.HTTPTransport())
    assert scrip.me().user["id"] == "w"
    scrip.close()
    assert AsyncScrip.balance.__doc__ == Scrip.balance.__doc__ is not None


def test_a_user_who_asks_too_often_is_told_when_to_come_back(service: Service, user: str) -> None:
    with Scrip(service.url, token=service.token("user", user)) as own:
        for _ in range(10):
            with pytest.raises(InsufficientResources):
                own.create(user=None, operation="image", model="FLUX.1 [dev]")
        with pytest.raises(RateLimited) as refused:
            own.create(user=None, operation="image", model="FLUX.1 [dev]")
    assert 0 < refused.value.retry_after <= 60
