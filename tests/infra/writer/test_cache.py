"""The states that a process keeps are bounded in memory, whatever is written or read."""

from typing import Any

import pytest

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.kernel.work import Stream, Tagged
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.partitions import partition_of
from infra.writer.cache import Cache
from infra.writer.loading import Loader
from infra.writer.reader import Reader
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.asking import Asking
from tests.infra.writer.ledger_kit import (
    DEADLINE_S,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    replayed,
    reserve,
    same_account,
    submission,
)

BOUND = 50


@pytest.fixture
def small(database: Database) -> Database:
    """A database whose writers keep next to nothing."""
    return database


def weight(of: Writer | Reader) -> int:
    cache = of._loader.cache(partition_of("acme", PARTITIONS))
    return cache._weight + len(cache.tags)


def addresses(count: int) -> list[str]:
    return [f"user:u{number}:credits" for number in range(count)]


def test_writing_keeps_the_bound_and_evicted_states_come_back_right(small: Database) -> None:
    """S1-6."""
    with Writer(small.writer_uri, SCRIP, cache_weight=BOUND) as writer:
        for turn in range(2):
            for number, address in enumerate(addresses(100)):
                accepted(writer, grant(10, address, f"g-{turn}-{number}"))
                accepted(writer, reserve(f"r-{turn}-{number}", 3, address))
                assert weight(writer) <= BOUND
        for address in addresses(100)[::9]:
            assert account(writer, address).available == 14
            assert same_account(account(writer, address), replayed(small.owner_uri, address))
    check_log(small.owner_uri)


def test_a_batch_larger_than_the_bound_is_decided_right(small: Database) -> None:
    with Writer(small.writer_uri, SCRIP, cache_weight=BOUND) as writer:
        commands: list[Any] = [grant(10, address, f"g-{address}") for address in addresses(200)]
        commands += [debit(f"d-{address}", 7, address) for address in addresses(200)]
        commands += [debit(f"e-{address}", 7, address) for address in addresses(200)]
        found = writer.submit([submission(command) for command in commands]).result(DEADLINE_S)
        assert [code(item) for item in found] == [None] * 400 + ["insufficient_credits"] * 200
        assert weight(writer) <= BOUND


def test_reading_keeps_the_bound_too(small: Database) -> None:
    with Writer(small.writer_uri, SCRIP, cache_weight=BOUND) as writer:
        items = [submission(grant(10, address, f"g-{address}")) for address in addresses(200)]
        writer.submit(items).result(DEADLINE_S)
    with Asking(small.writer_uri, SCRIP, cache_weight=BOUND) as asking:
        for address in addresses(200):
            assert asking.now("acme", [stream_of(address)]).states[stream_of(address)].available == 10
            assert weight(asking.reader) <= BOUND
        streams = [stream_of(address) for address in addresses(200)]
        tags = [f"debit/d-{number}" for number in range(200)]
        found = asking.now("acme", streams, tags)
        assert {state.available for state in found.states.values()} == {10}  # more than there is room for
        assert set(found.tagged) == set(tags)
        assert weight(asking.reader) <= BOUND


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = Cache(SCRIP.kind_of, LedgerMapper.of(SCRIP), 3)
    for name in "abc":
        cache.put(("acme", f"account/{name}"), Stream(1, Account(), 0))
    cache.put(("acme", "account/a"), Stream(2, Account(), 0))
    cache.put(("acme", "account/d"), Stream(1, Account(), 0))
    cache.trim()
    assert [key[1] for key in cache.streams] == ["account/c", "account/a", "account/d"]


def test_many_tags_do_not_drive_out_the_states() -> None:
    cache = Cache(SCRIP.kind_of, LedgerMapper.of(SCRIP), 10)
    cache.put(("acme", "account/a"), Stream(1, Account(), 0))
    for number in range(100):
        cache.tags["acme", f"debit/{number}"] = Tagged(0, ())
    cache.trim()
    assert ("acme", "account/a") in cache.streams
    assert len(cache.tags) <= 10
    assert ("acme", "debit/99") in cache.tags


def test_all_partitions_together_keep_the_bound_and_the_heaviest_gives() -> None:
    loader = Loader(SCRIP, 10)
    for partition, names in ((0, "abcdefgh"), (1, "xyz")):
        for name in names:
            loader.cache(partition).put(("acme", f"account/{name}"), Stream(1, Account(), 0))
    loader.trim()
    assert [loader.cache(partition).weight for partition in (0, 1)] == [7, 3]
