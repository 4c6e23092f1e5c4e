"""`scrip bench` and `docs`: figures beside their yardsticks, and the reference pages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from cli.failure import Failure
from cli.options import Json


def bench(
    name: Annotated[str | None, typer.Argument(help="Which one; without it all are run.", metavar="[NAME]")] = None,
    names: Annotated[bool, typer.Option("--list", help="List their names and what each measures.")] = False,
    seconds: Annotated[
        int | None, typer.Option("--seconds", min=1, help="How long each load lasts, where a benchmark has one.")
    ] = None,
    load: Annotated[
        str | None, typer.Option("--load", help="Run one load alone, where a benchmark has several.", metavar="NAME")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Add the figures to benchmarks/results.csv.")] = False,
    as_json: Json = False,
) -> None:
    """Run benchmarks: our figures and their yardsticks, measured in the same run on servers of their own.

    Exit status 1 if a figure misses its bar.
    """
    import importlib

    from benchmarks import BENCHES
    from benchmarks.figures import keep as keep_figures
    from benchmarks.figures import shown
    from cli.output import complain, say_json, say_table

    if names:
        if as_json:
            say_json(BENCHES)
        else:
            say_table("Benchmarks", ("name", "what it measures"), BENCHES.items())
        return
    if name is not None and name not in BENCHES:
        raise Failure(f"There is no benchmark {name}; there are {', '.join(BENCHES)}.")
    figures = []
    for chosen in [name] if name else BENCHES:
        complain(f"== {chosen}: {BENCHES[chosen]}")
        run = importlib.import_module(f"benchmarks.{chosen}").run
        figures += run(complain, **_options(chosen, run, only=name is not None, seconds=seconds, load=load))
    if keep:
        keep_figures(figures)
    if as_json:
        say_json([asdict(figure) for figure in figures])
    else:
        more = list(dict.fromkeys(name for figure in figures for name in figure.more))
        rows = [
            (
                *(figure.bench, figure.what, shown(figure.value)),
                *(shown(figure.more[name]) if name in figure.more else "" for name in more),
                *(figure.unit, figure.bar or "", _met(figure.met)),
            )
            for figure in figures
        ]
        say_table("Figures", ("bench", "what", "value", *more, "unit", "bar", ""), rows)
    if any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def _options(name: str, run: Any, *, only: bool, seconds: int | None, load: str | None) -> dict[str, Any]:
    """The options that a benchmark takes. `only`: no other one is run. Raises Failure for one that it does not have."""
    from inspect import signature

    from cli.failure import Failure

    known = signature(run).parameters
    if load is not None and "load" not in known:
        raise Failure(f"The benchmark {name} has no loads to choose from: leave --load out.")
    if seconds is not None and only and "seconds" not in known:
        raise Failure(f"The benchmark {name} has its own length: leave --seconds out.")
    given = {"seconds": seconds, "load": load}
    return {option: value for option, value in given.items() if value is not None and option in known}


def _met(met: bool | None) -> str:
    return "" if met is None else "met" if met else "MISSED"


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
