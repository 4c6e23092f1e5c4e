"""What is sent together is answered in order, and what follows a failure is not run."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from infra.log import statements
from infra.wire import Pipeline
from tests.conftest import Database
from tests.infra.writer.proxy import Proxy

ALL = "select %b::text, %b::text[], %b::smallint[], %b::int[], %b::bigint[], %b::timestamptz[], %b::bytea[]"
HALVES = "select 6 / n from unnest(%b::int[]) n"
NOTE = "select set_config('test.noted', %b::text, false)"
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.fixture
def pipeline(database: Database) -> Iterator[Pipeline]:
    with statements.connect(database.writer_uri, "test") as connection:
        yield Pipeline(connection)


@pytest.mark.parametrize("size", [0, 1, 3, 100_000], ids=str)
def test_arguments_arrive_as_they_were_sent(pipeline: Pipeline, size: int) -> None:
    """A hundred thousand fill the sockets' buffers on the way there and back."""
    numbers = range(size)
    arguments = (
        'ü {"} \x1f 🜚' * size,
        [("", "a,b", 'ü {"} \\ 🜚', "null")[number % 4] + str(number or "") for number in numbers],
        [(-(2**15), 0, 2**15 - 1)[number % 3] for number in numbers],
        [(-(2**31), 0, 2**31 - 1)[number % 3] for number in numbers],
        [(-(2**63), 0, 2**63 - 1)[number % 3] for number in numbers],
        [(datetime(1, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC), LAST)[number % 3] for number in numbers],
        [(b"\0\xff", None, b"")[number % 3] for number in numbers],
    )
    for _ in range(2):  # prepared, and once more
        with pipeline:
            assert pipeline.execute(ALL, arguments).fetchall() == [arguments]


def test_a_time_is_the_same_from_every_zone(pipeline: Pipeline) -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    far = noon.astimezone(tz=ZoneInfo("Asia/Kathmandu"))
    with pipeline:
        (row,) = pipeline.execute("select unnest(%b::timestamptz[])", ([far],)).fetchall()
    assert row == (noon,)
    assert row[0].utcoffset() == timedelta(0)


def test_answers_may_be_fetched_in_any_order(pipeline: Pipeline) -> None:
    with pipeline:
        sent = [pipeline.execute("select unnest(%b::int[])", ([number],)) for number in range(5)]
        assert [each.fetchall() for each in reversed(sent)] == [[(4,)], [(3,)], [(2,)], [(1,)], [(0,)]]
        assert pipeline.execute("select").fetchall() == [()]


def test_what_needs_no_answer_is_done_when_the_pipeline_is_left(pipeline: Pipeline) -> None:
    with pipeline:
        pipeline.execute("begin")
        pipeline.execute(NOTE, ("done",))
        pipeline.execute("commit")
    assert noted(pipeline) == "done"


def test_nothing_after_a_failure_is_run(pipeline: Pipeline) -> None:
    def fail() -> None:
        with pipeline:
            pipeline.execute(HALVES, ([0],))
            pipeline.execute(NOTE, ("done",))

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()
    assert noted(pipeline) is None


def test_a_transaction_that_failed_can_be_rolled_back(pipeline: Pipeline) -> None:
    def fail() -> None:
        with pipeline:
            pipeline.execute("begin")
            pipeline.execute(NOTE, ("done",))
            pipeline.execute(HALVES, ([0],))
            pipeline.execute("commit")

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()
    with pipeline:
        pipeline.execute("rollback")
    assert not noted(pipeline)


def test_after_a_failure_everything_is_of_use(pipeline: Pipeline) -> None:
    """Also the statements that were to be prepared after what failed, and so were not."""
    late = "select cardinality(%b::text[])"

    def fail() -> None:
        with pipeline:
            failed, unheard = pipeline.execute(HALVES, ([0],)), pipeline.execute(late, (["a"],))
            for sent, error in (
                (unheard, psycopg.errors.DivisionByZero),
                (unheard, psycopg.errors.PipelineAborted),
                (failed, psycopg.errors.DivisionByZero),
            ):
                with pytest.raises(error):
                    sent.fetchall()
            failed.fetchall()

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()
    for _ in range(2):
        with pipeline:
            assert pipeline.execute(HALVES, ([1, 2],)).fetchall() == [(6,), (3,)]
            assert pipeline.execute(late, (["a"],)).fetchall() == [(1,)]
    assert pipeline.connection.execute("select 7").fetchone() == (7,)


def test_what_raised_inside_is_what_is_told(pipeline: Pipeline) -> None:
    def fail() -> None:
        with pipeline:
            pipeline.execute(HALVES, ([0],))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    with pipeline:
        assert pipeline.execute(HALVES, ([3],)).fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("arguments", "error"), [(([2**15],), struct.error), ((), ValueError), (([1], [2]), ValueError)], ids=str
)
def test_what_cannot_be_sent_is_refused(
    pipeline: Pipeline, arguments: tuple[list[int], ...], error: type[Exception]
) -> None:
    with pytest.raises(error), pipeline:
        pipeline.execute("select %b::smallint[]", arguments)
    with pipeline:
        assert pipeline.execute("select %b::smallint[]", ([1],)).fetchall() == [([1],)]


def test_a_type_that_it_cannot_write_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(KeyError, match="polygon"), pipeline:
        pipeline.execute("select %b::polygon", ("",))


def test_a_connection_that_is_lost_is_an_operational_error(database: Database) -> None:
    with Proxy(database.writer_uri) as proxy, statements.connect(proxy.uri, "test") as connection:
        pipeline = Pipeline(connection)

        def lose() -> None:
            with pipeline:
                assert pipeline.execute("select 1").fetchall() == [(1,)]
                proxy.cut()
                pipeline.execute("select 2").fetchall()

        for _ in range(2):  # and it stays one
            with pytest.raises(psycopg.OperationalError):
                lose()
            assert connection.closed


def test_a_session_that_is_ended_is_an_operational_error(database: Database, pipeline: Pipeline) -> None:
    """By an administrator, or by a bound on how long a transaction may do nothing."""

    def end() -> None:
        with psycopg.connect(database.owner_uri, autocommit=True) as owner, pipeline:
            pipeline.execute("begin").fetchall()
            owner.execute("select pg_terminate_backend(%s, 10000)", (pipeline.connection.info.backend_pid,))
            pipeline.execute("select 1").fetchall()

    with pytest.raises(psycopg.OperationalError):
        end()
    assert pipeline.connection.closed


def noted(pipeline: Pipeline) -> str | None:
    row = pipeline.connection.execute("select current_setting('test.noted', true)").fetchone()
    assert row is not None
    found: str | None = row[0]
    return found
