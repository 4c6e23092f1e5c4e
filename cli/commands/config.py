"""`scrip config`: every setting, what it means and what it is."""

from __future__ import annotations

from cli.options import Json


def config(as_json: Json = False) -> None:
    """Show every SCRIP_ setting with its meaning, its default and what it is now (secrets masked)."""
    from pydantic import SecretStr

    from cli.output import say_json, say_table
    from infra.settings import Settings

    settings = Settings()

    def shown(value: object) -> str:
        if isinstance(value, SecretStr):
            return "********" if value.get_secret_value() else ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    rows = [
        {
            "name": f"SCRIP_{name.upper()}",
            "description": field.description or "",
            "default": shown(field.default),
            "current": shown(getattr(settings, name)),
            "set": name in settings.model_fields_set,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        say_json(rows)
    else:
        say_table(
            "Settings (environment variables)",
            ("name", "current", "default", "description"),
            [(row["name"], row["current"], row["default"], row["description"]) for row in rows],
        )
