"""A session as each of the logins, and whether PostgreSQL refuses it something."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from infra.postgres.logins import LOGINS
from tests.conftest import Database

Connection = psycopg.Connection[Any]

# What refuses: no right, a switch of the server that is off, or a thing that is not there.
REFUSED = (
    *(errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState, errors.UndefinedFunction),
    *(errors.FeatureNotSupported, errors.UndefinedFile, errors.CantChangeRuntimeParam),
)


@pytest.fixture(params=LOGINS)
def login(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    name: str = request.param
    return name


@pytest.fixture
def session(migrated_database: Database, login: str) -> Iterator[Connection]:
    """A session of the login, autocommit."""
    with psycopg.connect(uri_of(migrated_database, login), autocommit=True) as connection:
        yield connection


def uri_of(database: Database, name: str) -> str:
    """The URI of a login."""
    uri: str = getattr(database, f"{name.removeprefix('scrip_')}_uri")
    return uri


def one(connection: Connection, query: str, *arguments: Any) -> Any:
    """The first value of the first row."""
    row = connection.execute(query, arguments).fetchone()  # type: ignore[arg-type, unused-ignore]
    return row[0] if row else None


def refused(connection: Connection, statement: str, *arguments: Any) -> bool:
    """Whether PostgreSQL refuses the statement; raises any other error."""
    try:
        connection.execute(statement, arguments or None)  # type: ignore[arg-type, unused-ignore]
    except REFUSED:
        return True
    except errors.InvalidParameterValue:  # allowed, although not with this value
        return False
    return False


def done(connection: Connection, statement: str, *arguments: Any) -> bool:
    """Whether it is allowed; its effect is taken back."""
    try:
        with connection.transaction(force_rollback=True):
            return not refused(connection, statement, *arguments)
    except (errors.NotNullViolation, errors.InFailedSqlTransaction):
        return True  # allowed, although not with these values
