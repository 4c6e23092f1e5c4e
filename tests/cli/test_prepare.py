"""`scrip prepare`: what a deployment of separate roles needs before they start."""

import json

from psycopg.conninfo import conninfo_to_dict

from tests.cli.program import scrip
from tests.conftest import PARTITIONS, Database


def test_it_prepares_once_and_may_be_repeated(database: Database, kafka: str, topic_prefix: str) -> None:
    variables = {
        "SCRIP_OWNER_URL": _as_url(database.owner_uri),
        "SCRIP_WRITER_URL": _as_url(database.writer_uri),
        "SCRIP_READER_URL": _as_url(database.reader_uri),
        "SCRIP_KAFKA": kafka,
        "SCRIP_TOPIC_PREFIX": topic_prefix,
    }
    first = scrip("prepare", "--json", timeout_s=60, **variables)
    assert first.returncode == 0, first.stderr
    done = json.loads(first.stdout)
    assert f"{topic_prefix}scrip.ledger" in done["topics"]
    assert done["partitions"] == PARTITIONS  # the log's own, whatever SCRIP_PARTITIONS says
    again = json.loads(scrip("prepare", "--json", timeout_s=60, **variables).stdout)
    assert again == {"migrations": [], "topics": [], "partitions": PARTITIONS}


def test_without_the_owner_it_says_what_is_missing() -> None:
    answer = scrip("prepare")
    assert answer.returncode == 1
    assert answer.stderr.startswith("scrip: SCRIP_OWNER_URL is not set")


def _as_url(conninfo: str) -> str:
    """The fixtures' connection strings as URIs, which is how settings have them."""
    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
