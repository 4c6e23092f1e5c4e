"""`scrip prepare`: what must be done once before the roles of a deployment start, and after each upgrade."""

from __future__ import annotations

from cli.options import Json


def prepare(as_json: Json = False) -> None:
    """Migrate the database, create the topics and publish the first prices (configured by SCRIP_ variables).

    Needs SCRIP_OWNER_URL. The logins get the passwords that SCRIP_WRITER_URL and the others name. May be repeated.
    """
    from urllib.parse import unquote, urlsplit

    from cli.failure import Failure
    from cli.output import say, say_json
    from cli.service.prepare import prepare_ledger, set_passwords
    from cli.service.settings import log_partitions
    from infra.postgres.migrations import migrate
    from infra.settings import Settings
    from projections.versions import ensure

    settings = Settings()
    owner = settings.owner_url.get_secret_value()
    if not owner:
        raise Failure("SCRIP_OWNER_URL is not set: the login that owns the database's schema.")
    urls = (
        *(settings.writer_url, settings.relay_url, settings.projector_url),
        *(settings.reader_url, settings.auditor_url),
    )
    logins = [urlsplit(url.get_secret_value()) for url in urls]
    applied = migrate(owner, settings.partitions)
    set_passwords(owner, {str(login.username): unquote(login.password) for login in logins if login.password})
    # As who owns them, where that login is known: what it has made is then not run in a session of the owner.
    ensure(settings.projector_url.get_secret_value() or owner)
    settings = settings.model_copy(update={"partitions": log_partitions(owner)})
    created = prepare_ledger(settings)
    if as_json:
        say_json({"migrations": applied, "topics": created, "partitions": settings.partitions})
    else:
        say(f"prepared: {len(applied)} migrations applied, {len(created)} topics created")
