"""`scrip docs`: the reference pages of the documentation, written from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer
from typer.core import TyperGroup

from cli.options import Json

ROOT = Path(__file__).resolve().parents[2]


def docs(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 where a page is stale.")] = False,
    as_json: Json = False,
) -> None:
    """Write the reference pages in docs/reference from the code; `mkdocs build` makes the site of all pages."""
    from cli.failure import Failure
    from cli.output import say, say_json
    from cli.reference import pages

    folder = ROOT / "docs" / "reference"
    if not folder.parent.is_dir():
        raise Failure("The documentation is in the repository; run ./scrip docs there.")
    folder.mkdir(exist_ok=True)
    reference, stale = pages(cast("TyperGroup", context.find_root().command)), []
    for name, write in reference.items():
        text, file = write(), folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    if as_json:
        say_json({"pages": list(reference), "changed": stale})
    else:
        say(f"{len(reference)} pages, {'stale' if check else 'written'}: {', '.join(stale) or 'none'}")
    if check and stale:
        raise typer.Exit(1)
