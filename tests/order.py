"""Which test files begin first, which share one process, and which `scrip test --quick` leaves out."""

# These share one `scrip up`, which costs 12 s of a processor to start. Pages show a fresh one; the last file kills it.
ONE_SERVICE = ("tests/docs/test_pages.py", "tests/cli/test_up.py", "tests/cli/test_up_killed.py")
# These need a broker, of which each process starts its own. A file that is missing here works too.
ONE_BROKER = (
    "tests/infra/test_relay.py",
    "tests/infra/test_relay_hangs.py",
    "tests/infra/test_topics.py",
    "tests/infra/test_kafka_batches.py",
    "tests/infra/audit/test_verify.py",
    "tests/consumers/test_intake_kafka.py",
    "tests/consumers/test_intake_senders.py",
    "tests/consumers/test_notifier.py",
    "tests/consumers/test_notifier_deductions.py",
    "tests/consumers/test_projector.py",
    "tests/consumers/test_topic_faults.py",
    "tests/consumers/test_unreadable.py",
    "tests/api/test_consumers_that_stop.py",
    "tests/api/test_figures_for_operators.py",
    "tests/cli/doctor/test_examine.py",
    "tests/cli/test_import_again.py",
    "tests/cli/test_prepare.py",
    "tests/cli/test_signs.py",
    "tests/client/test_kafka.py",
    "tests/faults/test_oversized_event.py",
)
ONE_BROWSER = ("tests/browser/",)  # and one service; two of each cost more than they save
TOGETHER = (ONE_BROWSER, ONE_SERVICE, ONE_BROKER)

# `scrip test` gives each process one file, or what is together, at a time. These take longest: begun last, they would
# run alone at the end.
LONGEST = (
    *ONE_BROWSER,
    "tests/faults/test_campaign.py",
    "tests/faults/test_full_disk.py",
    *ONE_SERVICE,
    *ONE_BROKER,
    "tests/test_time_limits.py",
    "tests/cli/test_hung.py",
    "tests/infra/writer/test_generation_races.py",
    "tests/cli/test_demo.py",
    "tests/simulation/test_generations_machine.py",
    "tests/simulation/test_credits_machine.py",
)

# What `scrip test --quick` leaves out: browsers, brokers, the whole service, crash drills, long properties, and other
# files of over 10 s. What is left took 550 s of four processes that took 3,200 s with these, in 14 minutes.
SLOW = (
    *LONGEST,
    "tests/attacks/",
    "tests/benchmarks/",
    "tests/faults/",
    "tests/simulation/",
    "tests/infra/embedded/",
    "tests/infra/test_relay_faults.py",
    "tests/infra/test_stopped_holders.py",
    "tests/infra/audit/test_read_models.py",
    "tests/infra/writer/test_slices.py",
    "tests/api/test_hostile_values.py",
    "tests/api/test_others_figures.py",
    "tests/api/test_queries.py",
    "tests/api/test_role_table.py",
    "tests/api/test_running.py",
    "tests/cli/test_facts.py",
    "tests/cli/test_token.py",
    "tests/cli/test_unblock_together.py",
    "tests/cli/test_up_folder.py",
    "tests/client/test_contract.py",
    "tests/client/test_in_memory.py",
    "tests/client/test_wheel.py",
    "tests/console/test_one_figure.py",
    "tests/consumers/test_intake_faults.py",
    "tests/contracts/test_roles.py",
    "tests/projections/test_rebuild.py",
)


def place(file: str) -> int:
    """Of a test, by its file or id: where it stands among LONGEST, behind all of them if it is none of them."""
    return next((number for number, name in enumerate(LONGEST) if file.startswith(name)), len(LONGEST))


def group(test: str) -> str | None:
    """The name of what the test with this id is run together with; None if it is no such test."""
    return next((names[0] for names in TOGETHER if test.startswith(names)), None)
