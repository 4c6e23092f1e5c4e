"""Bounds on what roles, topics, tables and caches take up."""

from api.http import database, server, services
from api.http.caller import _path_address
from api.log import tail
from cli.commands import roles
from consumers import cloud_event
from consumers.intake import record
from consumers.notifier import refused_checks
from infra import quarantine, sweeper, turns, waits
from infra.kafka import batches, topics
from infra.log import statements
from infra.relay import source
from infra.security import authenticator, console_sessions, rates, sealing, tokens
from infra.settings import Settings
from infra.webhooks import deliveries, sending
from infra.writer import reader, writer
from projections import runner
from tests.limits.bound import Bound

ROOM, LEFTOVERS = "tests/consumers/test_quarantine_room.py::", "tests/infra/test_leftovers.py::"
TOPICS = "tests/infra/test_topics.py::test_what_is_kept_of_each_topic"
BATCHES, USAGE = "tests/infra/test_kafka_batches.py::", "tests/consumers/test_usage.py::"
SESSIONS, CONSOLE = "tests/infra/test_console_sessions.py::", "tests/console/test_sessions.py::"
RATES = "tests/infra/test_request_rates.py::"
DELIVERIES = "tests/infra/webhooks/test_deliveries.py::"
KNOWN, EDGES = "tests/limits/test_memory.py::", "tests/limits/test_edges.py::"


def _days(topic: str) -> int:
    return topics.DAYS[topic][1]


BOUNDS: dict[str, Bound] = {
    "Usage event": Bound(cloud_event.MAX_BYTES, USAGE + "test_refuses_records"),
    "What quarantine keeps of a record": Bound(
        record.MAX_KEPT_BYTES, USAGE + "test_the_kept_body_of_a_huge_record_is_bounded"
    ),
    "Events of an organisation that can never be applied": Bound(
        quarantine.MAX_OF_ORG, ROOM + "test_what_can_never_be_applied_has_so_many_rows"
    ),
    "The same, of all organisations": Bound(
        quarantine.MAX_IN_ALL, ROOM + "test_invented_organisations_have_no_more_room"
    ),
    "A batch of records, unpacked": Bound(
        batches.MAX_PLAIN_BYTES, BATCHES + "test_a_few_bytes_that_stand_for_too_many_are_set_aside"
    ),
    "Records of a batch": Bound(
        batches.MAX_RECORDS, BATCHES + "test_a_few_bytes_that_stand_for_too_many_records_are_set_aside"
    ),
    "Events of one Kafka transaction, of a partition": Bound(source.MAX_EVENTS, EDGES + "test_a_relay_reads_so_much"),
    "Bytes of one Kafka transaction, of a partition": Bound(source.MAX_BYTES, EDGES + "test_a_relay_reads_so_much"),
    "`scrip.usage`": Bound(_days(topics.USAGE), TOPICS),
    "`scrip.notifications`": Bound(_days(topics.NOTIFICATIONS), TOPICS),
    "`scrip.decisions`": Bound(_days(topics.DECISIONS), TOPICS),
    "`scrip.quarantine`": Bound(_days(topics.QUARANTINE), TOPICS),
    "Bytes of a partition of the last three": Bound(topics.MAX_BYTES, TOPICS),
    "Refused checks": Bound(refused_checks.KEPT.days, EDGES + "test_old_refused_checks_go"),
    "Deliveries that have ended": Bound(sweeper.KEPT.days, LEFTOVERS + "test_what_has_ended_long_ago_goes"),
    "Audits, but the newest": Bound(sweeper.KEPT.days, LEFTOVERS + "test_what_has_ended_long_ago_goes"),
    "Events in quarantine that were applied after all": Bound(
        sweeper.KEPT.days, LEFTOVERS + "test_what_has_ended_long_ago_goes"
    ),
    "Tries of a delivery": Bound(
        len(deliveries.PAUSES_S) + 1, DELIVERIES + "test_gone_switches_it_off_at_once_and_the_last_try_is_the_last"
    ),
    "Days of failures": Bound(
        deliveries.GIVE_UP_AFTER.days, DELIVERIES + "test_after_three_days_the_webhook_is_switched_off_with_an_alert"
    ),
    "Time for a try": Bound(
        sending.TIMEOUT_S, "tests/infra/webhooks/test_sending.py::test_a_receiver_that_does_not_answer_is_given_up"
    ),
    "Deliveries on the way": Bound(
        deliveries.AT_ONCE,
        DELIVERIES + "test_two_deliverers_do_not_deliver_twice_and_one_webhook_does_not_take_all_places",
    ),
    "Deliveries on the way to one webhook": Bound(
        deliveries.AT_ONCE_EACH,
        DELIVERIES + "test_two_deliverers_do_not_deliver_twice_and_one_webhook_does_not_take_all_places",
    ),
    "Console session without use": Bound(
        Settings.model_fields["session_idle_s"].default,
        CONSOLE + "test_use_moves_the_idle_end_and_never_beyond_the_last_one",
    ),
    "Console session in any case": Bound(
        Settings.model_fields["session_max_s"].default,
        CONSOLE + "test_use_moves_the_idle_end_and_never_beyond_the_last_one",
    ),
    "Console sessions of a person": Bound(
        console_sessions.PER_SUBJECT, SESSIONS + "test_of_too_many_sessions_of_one_person_the_oldest_ends"
    ),
    "Console sessions of all": Bound(
        console_sessions.TOTAL, SESSIONS + "test_the_table_never_holds_more_than_the_total"
    ),
    "Counts of request rates": Bound(
        Settings.model_fields["rate_window_s"].default,
        "tests/infra/test_request_rates.py::test_what_no_longer_counts_is_dropped",
    ),
    "Logins": Bound(authenticator.MAX_KNOWN, KNOWN + "test_logins"),
    "Keys of an identity provider": Bound(tokens.MAX_KEYS, KNOWN + "test_keys_of_a_provider"),
    "Keys of personal text": Bound(sealing.MAX_KEYS, "tests/infra/test_sealing.py::test_the_cache_of_keys_is_bounded"),
    "Addresses": Bound(_path_address.cache_parameters()["maxsize"] or 0, KNOWN + "test_addresses"),
    "Owners of generations": Bound(services.MAX_KNOWN, KNOWN + "test_owners_of_generations"),
    "Owners for live streams": Bound(tail.MOST_KNOWN, KNOWN + "test_owners_for_live_streams"),
    "Callers whose rate is known": Bound(rates.MOST_KNOWN, "tests/infra/test_pace.py::test_its_memory_is_bounded"),
    "States that the writer keeps": Bound(
        writer.CACHE_WEIGHT,
        "tests/infra/writer/test_cache.py::test_writing_keeps_the_bound_and_evicted_states_come_back_right",
    ),
    "States that the reader keeps": Bound(
        reader.CACHE_WEIGHT, "tests/infra/writer/test_cache.py::test_reading_keeps_the_bound_too"
    ),
    "Events read under a partition's lock": Bound(
        statements.MAX_TAIL, "tests/infra/writer/test_tail.py::test_at_most_2000_events_are_read_under_the_lock"
    ),
    "Rows that a projector keeps": Bound(
        runner.MAX_ROWS_IN_MEMORY, "tests/projections/test_runner.py::test_any_split_gives_the_same_rows"
    ),
    "Threads for personal text and long histories": Bound(
        services.THREADS, "tests/infra/test_turns.py::test_one_has_a_part_of_the_places"
    ),
    "Of these connections and threads, for one organisation": Bound(
        turns.OF_ORG, "tests/infra/test_turns.py::test_one_has_a_part_of_the_places"
    ),
    "The same, for one login": Bound(turns.OF_LOGIN, "tests/infra/test_turns.py::test_one_has_a_part_of_the_places"),
    "Refusals of a rate that are remembered": Bound(rates.REFUSED, RATES + "test_a_refusal_is_remembered"),
    "Time that a refusal is remembered": Bound(rates.REFUSED_S, RATES + "test_a_refusal_is_remembered"),
    "Console sessions whose person is known": Bound(
        console_sessions.KNOWN, SESSIONS + "test_known_sessions_do_not_queue_with_invented_ones"
    ),
    "Connections for reads of one organisation": Bound(database.MAX_READS, EDGES + "test_pools"),
    "Connections for reads by the log's recorders": Bound(database.MAX_LOG_READS, EDGES + "test_pools"),
    "Connections for reads of all": Bound(database.MAX_READS_OF_ALL, EDGES + "test_pools"),
    "Connections for keys, rates and sessions": Bound(database.MAX_WRITES, EDGES + "test_pools"),
    "Time of a read": Bound(5, EDGES + "test_pools"),
    "Time of a commit's statement": Bound(
        60, "tests/infra/writer/test_plans.py::test_the_session_bounds_its_waits_and_plans_once"
    ),
    "Time for a role's work to end when its lease is lost, or a part of it fails": Bound(
        waits.END_S, "tests/infra/test_lease.py::test_work_that_goes_on_without_the_lease_is_an_error"
    ),
    "Time until a role's process has ended": Bound(
        roles.END_S, "tests/cli/test_role_end.py::test_a_thread_that_waits_for_ever_does_not_keep_the_process"
    ),
    "Time to finish at a stop": Bound(
        server.DRAIN_S, "tests/api/live/test_stream.py::test_streams_do_not_hold_up_the_stop_and_end_cleanly"
    ),
}
