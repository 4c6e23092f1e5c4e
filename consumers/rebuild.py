"""Rebuild the read models of a deployment from its log."""

from collections.abc import Sequence
from typing import Any

from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog
from infra.settings import Settings
from projections import READ_MODELS
from projections import rebuild as of_log
from projections.read_model import ReadModel
from projections.rebuild import Progress, RebuildReport


def rebuild(settings: Settings, progress: Progress | None = None) -> RebuildReport:
    """Build a new generation from the log and make it live, telling `progress` (done, total, events per second).

    Raises CannotApply at an event that cannot be folded (the live generation stays), psycopg.Error.
    """
    return rebuild_from(settings.projector_url.get_secret_value(), progress)


def rebuild_from(
    uri: str, progress: Progress | None = None, models: Sequence[ReadModel[Any]] = READ_MODELS
) -> RebuildReport:
    """The same by the projector's or the owner's login."""
    with PostgresLog.open(uri, LedgerMapper.of(SCRIP), application="scrip rebuild log") as log:
        return of_log.rebuild(uri, log, log.mapper.decode, progress, models)
