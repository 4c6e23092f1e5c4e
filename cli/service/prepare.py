"""Brings the servers of a service to what this code needs: database, logins, topics, and the first prices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from psycopg import sql

from cli.service.settings import DATABASE, login_uri, owner_uri
from domain.plans.catalogue import FEATURES, TOKEN_COSTS
from domain.plans.publish import PublishFeatures
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from domain.refusal import StaleVersion
from domain.registry import SCRIP
from infra.kafka.topics import provision
from infra.partitions import PLATFORM
from infra.postgres.migrations import migrate
from infra.postgres.selfcheck import check_postgres
from infra.postgres.session import connect_owner
from infra.settings import Settings
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer
from projections.versions import OWNER, ensure

CALLER = "platform:bootstrap"
DEADLINE_S = 30.0

_CREATE = sql.SQL("create database {}").format(sql.Identifier(DATABASE))


def prepare_database(server: str, partitions: int, passwords: Mapping[str, str]) -> list[str]:
    """Make Scrip's database on the server whose superuser's URI is `server`, and return the migrations applied.

    `passwords` are by login. Raises psycopg.Error; an interrupted call is completed by the next one.
    """
    with connect_owner(server, "scrip prepare") as connection:
        known = connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(_CREATE)
    applied = migrate(owner_uri(server), partitions)
    set_passwords(server, passwords)
    # As who owns them: nothing that this login has made is ever run in a session of the superuser.
    ensure(login_uri(server, OWNER, passwords[OWNER]))
    return applied


def set_passwords(owner: str, passwords: Mapping[str, str]) -> None:
    """Give the database's logins their passwords, all or none. Raises psycopg.Error."""
    with connect_owner(owner, "scrip prepare") as connection, connection.transaction():
        for login, password in passwords.items():
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), password))


def prepare_ledger(settings: Settings) -> list[str]:
    """Check the migrated database and the topics, make what is missing, and return the names of new topics.

    Publishes the first version of the price book and of the features where there is none. `settings.partitions` must
    be the log's. Raises UnsafeSetting for a database that could lose what it acknowledges or a topic that is not as it
    must be; psycopg.Error, KafkaError, TimeoutError, and what the writer raises.
    """
    check_postgres(settings.writer_url.get_secret_value(), settings.partitions)
    created = asyncio.run(provision(settings, settings.partitions))
    _publish_first_offer(settings)
    return created


def _publish_first_offer(settings: Settings) -> None:
    prices = PublishPrices(entries=CATALOGUE, first=True)
    features = PublishFeatures(features=FEATURES, token_costs=TOKEN_COSTS, expected=0)
    first = [
        Submission(org=PLATFORM, command=command, actor=CALLER, caller=CALLER, key=f"bootstrap:{name}:1")
        for name, command in (("prices", prices), ("features", features))
    ]
    with Writer(settings.writer_url.get_secret_value(), SCRIP) as writer:
        outcomes = writer.submit(first).result(DEADLINE_S)
    for outcome in outcomes:
        known = isinstance(outcome, Outcome) and outcome.refusal and outcome.refusal.code == StaleVersion.code
        if not known and not (isinstance(outcome, Outcome) and outcome.refusal is None):
            raise RuntimeError(f"the first offer was not published: {outcome}")
