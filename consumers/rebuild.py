"""Rebuild the read models of a deployment from its log."""

from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.settings import Settings
from projections.rebuild import Progress, RebuildReport
from projections.rebuild import rebuild as rebuild_from


def rebuild(settings: Settings, progress: Progress | None = None) -> RebuildReport:
    """Build a new generation from the log and make it live, telling `progress` (done, total, events per second).

    Raises CannotApply at an event that cannot be folded (the live generation stays), psycopg.Error.
    """
    return rebuild_from(settings.projector_url.get_secret_value(), LedgerMapper.of(SCRIP).decode, progress)
