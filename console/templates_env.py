"""Jinja2 as the console uses it: everything is escaped, a missing value is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.formatting import FILTERS
from console.static_files import Versioned


def environment(static: Versioned) -> Environment:
    """The templates of `console/templates`."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    env.filters.update(FILTERS)
    env.globals["static"] = static.url
    return env
