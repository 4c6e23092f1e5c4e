"""Personal text is readable with its subject's key, for that subject alone, and never again once the key is gone."""

from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from infra.security import sealing
from infra.security.sealing import Sealer
from tests.conftest import Database
from tests.waiting import ENOUGH_S, joined

ORG, ALICE, BOB = "acme", "user:alice", "user:bob"
FIELDS = {"reason": "a gift for Zoë", "metadata": {"deep": [1, None, "ü"]}, "prompt": None}
OPENED = {"reason": "a gift for Zoë", "metadata": {"deep": [1, None, "ü"]}}


@pytest.fixture
def pool(database: Database) -> Iterator["ConnectionPool[Any]"]:
    with ConnectionPool(database.writer_uri, min_size=1, max_size=8) as connections:
        yield connections


@pytest.fixture
def sealer(pool: "ConnectionPool[Any]") -> Sealer:
    return Sealer(pool)


def sealed(sealer: Sealer, org: str = ORG, subject: str = ALICE) -> str:
    text = sealer.seal(org, subject, FIELDS)
    assert text is not None
    return text


def test_what_was_sealed_opens_in_every_process(sealer: Sealer, pool: "ConnectionPool[Any]") -> None:
    text = sealed(sealer)
    assert sealer.open(ORG, ALICE, text) == OPENED
    assert Sealer(pool).open(ORG, ALICE, text) == OPENED


def test_nothing_of_the_text_shows(sealer: Sealer) -> None:
    text = sealed(sealer)
    assert text.isascii()
    assert "gift" not in text
    assert sealed(sealer) != text  # a nonce is used once


def test_nothing_is_sealed_where_there_is_nothing(sealer: Sealer) -> None:
    assert sealer.seal(ORG, ALICE, {"reason": None}) is None
    assert sealer.seal(ORG, ALICE, {}) is None
    assert sealer.open(ORG, ALICE, None) is None
    assert sealer.seal(ORG, ALICE, {"reason": ""}) is not None  # an empty text is one


@pytest.mark.parametrize(("org", "subject"), [(ORG, BOB), ("other", ALICE), ("acm", "euser:alice")])
def test_text_that_was_moved_elsewhere_does_not_open(
    sealer: Sealer, database: Database, org: str, subject: str
) -> None:
    text = sealed(sealer)
    assert sealer.open(org, subject, text) is None
    sealed(sealer, org, subject)
    with psycopg.connect(database.owner_uri, autocommit=True) as owner:  # even with the very same key
        owner.execute(
            "update subject_keys set (key_id, key) = (select key_id, key from subject_keys where org = %s"
            " and subject = %s) where org = %s and subject = %s",
            (ORG, ALICE, org, subject),
        )
    with ConnectionPool(database.writer_uri, min_size=1) as fresh:
        assert Sealer(fresh).open(org, subject, text) is None
        assert Sealer(fresh).open(ORG, ALICE, text) == OPENED


def test_every_changed_character_is_noticed(sealer: Sealer) -> None:
    text = sealed(sealer)
    start = text.index(".") + 1
    for place in range(start, len(text) - 2):  # the last characters may hold padding only
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert sealer.open(ORG, ALICE, changed) is None


def test_an_erased_key_takes_the_text_of_its_subject_and_nobody_elses(sealer: Sealer, database: Database) -> None:
    alice, bob, elsewhere = sealed(sealer), sealed(sealer, subject=BOB), sealed(sealer, org="other")
    assert sealer.erase(ORG, ALICE)
    assert sealer.open(ORG, ALICE, alice) is None
    assert sealer.open(ORG, BOB, bob) == sealer.open("other", ALICE, elsewhere) == OPENED
    assert not sealer.erase(ORG, ALICE)
    with psycopg.connect(database.owner_uri) as owner:
        assert owner.execute("select count(*) from subject_keys").fetchone() == (2,)


def test_new_text_after_an_erasure_has_a_new_key(sealer: Sealer) -> None:
    old = sealed(sealer)
    sealer.erase(ORG, ALICE)
    new = sealed(sealer)
    assert sealer.open(ORG, ALICE, new) == OPENED
    assert sealer.open(ORG, ALICE, old) is None


def test_another_process_stops_reading_an_erased_key_in_time(
    sealer: Sealer, pool: "ConnectionPool[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    text, other = sealed(sealer), Sealer(pool)
    assert other.open(ORG, ALICE, text) == OPENED
    sealer.erase(ORG, ALICE)
    assert sealing.KEY_FRESH_S <= 15
    monkeypatch.setattr(sealing, "KEY_FRESH_S", 0.0)  # what the clock would bring about
    assert other.open(ORG, ALICE, text) is None
    # And seals nothing with it any more: that could never be opened.
    again = sealed(other)
    assert sealer.open(ORG, ALICE, again) == OPENED


def test_first_texts_at_once_agree_on_one_key(pool: "ConnectionPool[Any]", database: Database) -> None:
    together = Barrier(8)
    texts: list[str] = []

    def run() -> None:
        own = Sealer(pool)
        together.wait(ENOUGH_S)
        texts.append(sealed(own))

    threads = [Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    joined(*threads)
    assert len(texts) == 8
    assert {text.partition(".")[0] for text in texts} == {texts[0].partition(".")[0]}
    assert all(Sealer(pool).open(ORG, ALICE, text) == OPENED for text in texts)


def test_the_cache_of_keys_is_bounded(sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MAX_KEYS", 3)
    texts = {f"user:{n}": sealed(sealer, subject=f"user:{n}") for n in range(8)}
    assert len(sealer._keys) == 3
    assert all(sealer.open(ORG, subject, text) == OPENED for subject, text in texts.items())


def test_damaged_text_is_unreadable_and_no_error(sealer: Sealer) -> None:
    text = sealed(sealer)
    for damaged in ("", ".", "x", text.partition(".")[0], text.partition(".")[0] + ".", text[:-7]):
        assert sealer.open(ORG, ALICE, damaged) is None
