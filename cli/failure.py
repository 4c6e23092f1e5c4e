"""Turns what can be expected to go wrong into one sentence for a person."""

from __future__ import annotations

import errno
import os

FULL = "The disk is full"

# By name, because importing them all takes longer than most commands run. Their texts are sentences already.
SENTENCES = frozenset(
    {
        "api.app.UnsafeSettings",
        "api.http.server.PortTaken",
        "infra.audit.runs.AuditRunning",
        "infra.kafka.client.KafkaMisconfigured",
        "infra.relay.disagreement.TopicDisagrees",
        "infra.payments.UnsafePayments",
        "infra.security.tokens.UnsafeRoleMap",
        "infra.postgres.selfcheck.UnsafeSetting",
        "projections.facts.CannotApply",
    }
)


class Failure(Exception):
    """A command cannot do what was asked; the text says why in one sentence."""


def sentence(error: BaseException) -> str | None:
    """What to tell a person about an expected error, or None for one that is a bug and needs its traceback."""
    if isinstance(error, Failure) or f"{type(error).__module__}.{type(error).__qualname__}" in SENTENCES:
        return str(error)
    if isinstance(error, OSError):
        return _of_system(error)
    return _of_server(error)


def _of_system(error: OSError) -> str | None:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{FULL}{where}; make room and start again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
        return f"{error.strerror}{where}."
    return None


def _of_server(error: BaseException) -> str | None:
    # Imported only now: a command that succeeds does not pay for them.
    import psycopg
    from aiokafka.errors import KafkaError
    from pydantic import ValidationError

    from infra.embedded.errors import ServerUnavailable

    if isinstance(error, psycopg.errors.DiskFull) or os.strerror(errno.ENOSPC) in str(error):
        return f"{FULL}; make room and start again."
    if isinstance(error, ServerUnavailable):
        return str(error)
    if isinstance(error, psycopg.OperationalError):
        return f"PostgreSQL does not answer: {' '.join(str(error).split())}"
    if isinstance(error, KafkaError):
        return f"Kafka does not answer: {' '.join(str(error).split())}"
    if isinstance(error, ValidationError) and error.title == "Settings":
        wrong = error.errors()[0]
        return f"The setting SCRIP_{'_'.join(map(str, wrong['loc'])).upper()} is wrong: {wrong['msg']}."
    return None
