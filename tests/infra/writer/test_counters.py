"""What a writer shows of itself."""

from prometheus_client.core import Metric

from domain.credits.address import stream_of
from domain.organisations.now import OrganisationNow
from domain.registry import SCRIP
from infra.writer.metrics import cumulated, reader_metrics, writer_metrics
from infra.writer.questions import Query, Question
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.asking import Asking
from tests.infra.writer.ledger_kit import ALICE, ORG, accepted, code, debit, grant, submission, until

COUNTED = "the last batch is counted, which is after it was answered"


def families(writer: Writer) -> dict[str, Metric]:
    return {family.name: family for family in writer_metrics(writer)}


def test_events_are_counted_by_type_once_they_are_committed(writer: Writer) -> None:
    accepted(writer, grant(100))
    (first, second) = (submission(debit("d-1"), "k-1"), submission(debit("d-1"), "k-1"))
    outcomes = writer.submit([first, second]).result(10)
    assert [code(outcome) for outcome in outcomes] == [None, None]
    assert code(writer.submit([submission(debit("d-2", 1_000))]).result(10)[0]) == "insufficient_credits"
    until(lambda: writer.counters.batches == 3, COUNTED)
    assert writer.counters.events == {"credits-granted.v1": 1, "credits-debited.v1": 1}
    samples = families(writer)["scrip_writer_events"].samples
    assert {sample.labels["type"]: sample.value for sample in samples} == dict(writer.counters.events)


def test_each_batch_has_its_place_in_the_histogram(writer: Writer) -> None:
    accepted(writer, grant(100))
    counters = writer.counters
    until(lambda: counters.batches == 1, COUNTED)
    assert sum(counters.batch_counts) == 1
    assert 0 < counters.longest_batch_s <= counters.batches_s
    histogram = families(writer)["scrip_writer_batch_seconds"].samples
    (count,) = [sample.value for sample in histogram if sample.name.endswith("_count")]
    assert count == counters.batches


def test_a_reader_counts_its_answers(writer: Writer, database: Database) -> None:
    accepted(writer, grant(100))
    with Asking(database.writer_uri, SCRIP) as asking:
        asking.now(ORG, [stream_of(ALICE)])
        asking.together(*(Query(ORG, (stream_of(ALICE),)) for _ in range(3)), Question(ORG, OrganisationNow()))
        found = {family.name: family.samples[0].value for family in reader_metrics(asking.reader)}
        assert found == {"scrip_reader_questions": 5, "scrip_reader_connected": 1}
    found = {family.name: family.samples[0].value for family in reader_metrics(asking.reader)}
    assert found["scrip_reader_connected"] == 0


def test_buckets_hold_those_below_them_too() -> None:
    assert cumulated((0.1, 1.0), (3, 0, 2)) == [("0.1", 3), ("1.0", 3), ("+Inf", 5)]
