"""Jinja2 as the console uses it: everything is escaped, a missing value is an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.formatting import FILTERS
from console.static_files import Versioned


def environment(static: Versioned, visible: Callable[[str], str]) -> Environment:
    """The templates of `console/templates`. Every text that they show passes `visible`."""

    def shown(value: Any) -> Any:
        return visible(value) if type(value) is str else value  # our own markup is another type

    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
        finalize=shown,
    )
    env.filters.update(FILTERS)
    env.globals["static"] = static.url
    return env
