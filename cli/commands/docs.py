"""`scrip docs`: the reference pages of the documentation, written from the code."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import typer
from typer.core import TyperGroup

from cli.failure import Failure
from cli.options import Json

DOCS = Path(__file__).resolve().parents[2] / "docs"


def docs(context: typer.Context, as_json: Json = False) -> None:
    """Write the reference pages into docs/reference from the code, to read there; `mkdocs build` makes its own."""
    from cli.output import say, say_json
    from cli.reference import pages

    if not DOCS.is_dir():
        raise Failure("The documentation is in the repository; run ./scrip docs there.")
    folder = DOCS / "reference"
    folder.mkdir(exist_ok=True)
    changed = []
    for name, write in pages(cast("TyperGroup", context.find_root().command)).items():
        text, file = write(), folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    if as_json:
        say_json({"folder": str(folder), "changed": changed})
    else:
        say(f"{folder}: written {', '.join(changed) or 'none'}")
