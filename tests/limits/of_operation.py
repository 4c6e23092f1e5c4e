"""Bounds on what keeps a deployment going: events and sums that can be passed on, disks, logs, processes and logins."""

from cli import role_log
from cli.service import signs
from domain.bounds import MAX_SLICES, MAX_TOTAL
from domain.generations.state import MAX_PARTS
from infra import disk
from infra.kafka import topics
from infra.log import statements
from infra.postgres import lease, logins
from infra.security import rates
from infra.settings import Settings
from tests.limits.bound import Bound

SUMS, GUESSES = "tests/domain/test_bounds.py::", "tests/api/test_guessed_logins.py::"
LOGS, LOGINS = "tests/infra/test_log_files.py::", "tests/infra/test_logins.py::"
STOPPED = (
    "tests/infra/test_stopped_holders.py::test_a_second_writer_serves_again_when_the_first_is_stopped_with_the_lock"
)
HUNG = "tests/cli/test_hung.py::test_whatever_hangs_is_replaced_and_nothing_is_lost_or_doubled"
BOUNDS_OF = LOGINS + "test_bounds_of_each_login"


def _default(name: str) -> float:
    value: float = Settings.model_fields[name].default
    return value


BOUNDS: dict[str, Bound] = {
    "Event": Bound(
        statements.MAX_EVENT_BYTES,
        "tests/infra/writer/test_event_size.py::test_it_is_refused_with_its_size_and_neighbours_are_committed",
    ),
    "Grants that one movement or hold takes parts of": Bound(
        MAX_SLICES, "tests/api/test_event_sizes.py::test_what_takes_too_many_grants_is_refused_and_less_works"
    ),
    "Any sum that an account keeps": Bound(MAX_TOTAL, SUMS + "test_no_sum_of_an_account_passes_its_bound"),
    "Use of a limit in a period, and stored bytes": Bound(MAX_TOTAL, SUMS + "test_no_sum_of_a_limit_passes_its_bound"),
    "Parts that a generation is settled in": Bound(
        MAX_PARTS, SUMS + "test_a_generation_is_settled_in_so_many_parts_and_can_then_still_be_ended"
    ),
    "Bytes of a record batch": Bound(
        topics.RECORD_BATCH_BYTES,
        "tests/infra/test_relay.py::test_a_topic_that_takes_less_than_it_did_gets_smaller_batches",
    ),
    "Failed logins with one API key of an address": Bound(
        _default("failed_logins"), GUESSES + "test_a_key_that_is_guessed_is_slowed_and_another_key_is_not"
    ),
    "All failed logins of an address": Bound(
        _default("failed_logins") * rates.WHOLE_ADDRESS,
        GUESSES + "test_an_address_that_tries_many_keys_waits_and_its_good_callers_do_not",
    ),
    "Addresses and keys whose failures are known": Bound(
        rates.MAX_COUNTS, GUESSES + "test_the_memory_is_bounded_whoever_tries_whatever"
    ),
    "Room left on PostgreSQL's disk": Bound(
        _default("disk_reserve_mb"), "tests/api/test_full_disk.py::test_commands_are_refused_and_reads_are_not"
    ),
    "Room left on any disk, for a warning": Bound(
        disk.WARN_BELOW // disk.MIB,
        "tests/infra/test_disk.py::test_a_disk_is_told_once_for_all_its_folders",
    ),
    "Size of a log file": Bound(_default("log_file_bytes"), LOGS + "test_no_line_is_lost_or_cut_by_a_switch"),
    "Log files of a process": Bound(_default("log_files"), LOGS + "test_the_oldest_are_deleted"),
    "Warnings of one kind and caller": Bound(
        _default("log_lines_per_minute"), "tests/cli/test_up_folder.py::test_a_caller_cannot_fill_the_logs"
    ),
    "Kinds and callers of warnings that are told apart": Bound(
        role_log.MOST_KINDS, "tests/cli/test_log_limit.py::test_kinds_without_number_share_one_limit"
    ),
    "Silence of a role": Bound(_default("hung_after_s"), HUNG),
    "Silence of PostgreSQL, Kafka and the API's port": Bound(signs.NO_SIGN * _default("hung_after_s"), HUNG),
    "Silence of the active relay or notifier": Bound(
        lease.TERM_S, "tests/infra/test_lease.py::test_who_is_silent_for_a_term_loses_it"
    ),
    "Transaction of a writer": Bound(30, STOPPED),
    "A writer that says nothing within its transaction": Bound(10, STOPPED),
    "PostgreSQL connections of the writer's login": Bound(logins.LOGINS["scrip_writer"].connections, BOUNDS_OF),
    "The same, of the reader's and of the auditor's": Bound(logins.LOGINS["scrip_reader"].connections, BOUNDS_OF),
    "The same, of the projector's": Bound(logins.LOGINS["scrip_projector"].connections, BOUNDS_OF),
    "The same, of the relay's": Bound(logins.LOGINS["scrip_relay"].connections, BOUNDS_OF),
    "The same, of the analyst's": Bound(
        logins.LOGINS["scrip_analyst"].most or 0, LOGINS + "test_one_login_cannot_take_all_connections"
    ),
    "Temporary files of one of the analyst's sessions": Bound(
        int(logins.LOGINS["scrip_analyst"].settings["temp_file_limit"].removesuffix("MB")),
        LOGINS + "test_people_with_their_sql_cannot_fill_the_disk",
    ),
    "Prepared transactions": Bound(0, LOGINS + "test_no_transaction_outlives_its_session"),
}
