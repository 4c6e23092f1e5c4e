"""Writers that are killed while generations begin and end: what runs is counted exactly, never above the limit."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from domain.generations.commands import ConfirmGeneration
from domain.generations.count import CountEarlier, StartCounting
from domain.generations.create import CreateGeneration
from domain.generations.request import Request
from domain.organisations.commands import ConfigureOrganisation
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import accepted, check_log, code, results, submission
from tests.waiting import ENOUGH_S

ROOT = Path(__file__).resolve().parents[2]
ORG, STREAM, LIMIT, KILLS = "running-killed", "counted/running", 30, 4
# Ten creations and the confirmations of earlier ones at a time, for ever; a line is said when they are answered.
LIFE = f"""
import sys
from itertools import count
from domain.registry import SCRIP
from infra.writer.writer import Writer
from tests.faults.test_running import confirm, create
from tests.infra.writer.ledger_kit import results, submission
uri, life = sys.argv[1:]
ended = []
with Writer(uri, SCRIP) as writer:
    for number in count():
        begun = [f"{{life}}-{{number}}-{{each}}" for each in range(10)]
        commands = [*map(create, begun), *(confirm(id_) for id_ in ended)]
        found = results(writer, *(submission(command, org={ORG!r}) for command in commands))
        ended = [id_ for id_, one in zip(begun, found) if one.refusal is None][:7]
        print(number, flush=True)
"""


def create(id_: str) -> CreateGeneration:
    request = Request(user="ann", operation="upload", bytes=1)
    return CreateGeneration(generation_id=id_, request=request, own_id=True)


def confirm(id_: str) -> ConfirmGeneration:
    return ConfirmGeneration(generation_id=id_)


def _killed(database: Database, life: int) -> None:
    """A life of which nobody knows how far the last batch came."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIFE, database.writer_uri, f"life{life}"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(5 + life):
        assert process.stdout.readline(), "it has ended by itself"
    process.kill()
    process.wait(ENOUGH_S)
    process.stdout.close()


def _open(database: Database) -> set[str]:
    """The generations that are open by their own events."""
    codec, states = LedgerMapper.of(SCRIP), dict[str, Any]()
    for event in check_log(database.owner_uri):
        if event.org == ORG and event.stream.startswith("generation/"):
            kind = SCRIP.kind_of(event.stream)
            state = states.get(event.stream, kind.initial)
            states[event.stream] = kind.evolve(state, codec.decode(event.type, bytes(event.data)))
    return {stream.removeprefix("generation/") for stream, state in states.items() if state.open}


def test_what_runs_is_counted_exactly_over_kills(module_database: Database) -> None:
    with Writer(module_database.writer_uri, SCRIP) as writer:
        for command in (
            create("before"),
            StartCounting(resource="running"),
            CountEarlier(resource="running", generation_ids=("before",), last=True),
            ConfigureOrganisation(enforce=("running",), settings={"running_limit": LIMIT}),
        ):
            accepted(writer, command, org=ORG)
    for life in range(KILLS):
        _killed(module_database, life)
        still = _open(module_database)
        with Writer(module_database.writer_uri, SCRIP) as writer:
            counted = now(writer, ORG, [STREAM]).states[STREAM]
        assert set(counted.quota.holds) == still
        assert counted.counts["running"] == len(still) <= LIMIT
    with Writer(module_database.writer_uri, SCRIP) as writer:
        found = results(writer, *(submission(create(f"last{number}"), org=ORG) for number in range(LIMIT)))
        assert [code(one) for one in found].count("too_many_running") == len(still)
        assert len(_open(module_database)) == LIMIT
