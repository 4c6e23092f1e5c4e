"""The API's memory under each attack of `benchmarks/attackers.py`: at its highest, and a minute after it."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.attackers import ATTACKS, attack
from benchmarks.figures import Figure, Report
from benchmarks.stage import whole_service
from benchmarks.victim import Victim, victim
from cli.output import progress
from infra.settings import Settings

SECONDS = 60
SIDE_BY_SIDE = 7  # attacks at once, each on an API of its own: they wait more than they work
HIGHEST_MB = 400.0
STAYING_MB = 50.0
BACK_S = 60.0
LOOK_S = 0.5
QUIET_S = 3.0  # in which an API that has just started comes to rest

Progress = Callable[[float, float], None]  # seconds that have passed, and the highest memory so far, in MB


@dataclass(slots=True)
class Seen:
    """One attack's figures in MB; `temporary` is of the folder for temporary files, at its highest."""

    name: str
    before: float
    highest: float = 0.0
    after: float = 0.0
    temporary: float = 0.0
    opened: int = 0

    @property
    def met(self) -> bool:
        """Whether the memory had its bound and was given back."""
        return self.highest < HIGHEST_MB and self.after <= self.before + STAYING_MB


def run(report: Report, *, seconds: int = SECONDS) -> list[Figure]:
    """Each attack for `seconds`, seven at a time, every one on an API process of its own over one database."""
    figures: list[Figure] = []
    with whole_service() as service, tempfile.TemporaryDirectory(prefix="scrip-attacks-") as folder:
        names = list(ATTACKS)
        turns = range(0, len(names), SIDE_BY_SIDE)
        each_s = seconds + round(BACK_S)
        with progress() as bar:
            task = bar.add_task("attacks, seconds", total=each_s * len(turns), rate="")
            for number, first in enumerate(turns):
                chosen = names[first : first + SIDE_BY_SIDE]
                report(f"{seconds} s of {', '.join(chosen)}")

                def show(done_s: float, highest: float, before: int = number * each_s) -> None:
                    bar.update(task, completed=before + round(done_s), rate=f"{highest:,.0f} MB")

                seen = attacked(service.settings, Path(folder), [[name] for name in chosen], seconds, on_progress=show)
                figures += [_figure(each) for each in seen]
    return figures


def attacked(
    settings: Settings,
    folder: Path,
    groups: Sequence[Sequence[str]],
    seconds: float,
    *,
    calm: float = 1.0,
    on_progress: Progress = lambda _done_s, _highest: None,
) -> list[Seen]:
    """Each group of attacks at once on an API of its own.

    `calm` above 1: attackers have longer pauses, and it ends when the memory is back instead of a minute later.
    `on_progress` is called twice a second.
    """
    with ExitStack() as running:
        folders = [folder / "-".join(names).replace(" ", "_") for names in groups]
        with ThreadPoolExecutor() as pool:
            victims = list(pool.map(lambda each: running.enter_context(victim(settings, each)), folders))
        return asyncio.run(_attack_all(groups, victims, seconds, calm, on_progress))


async def _attack_all(
    groups: Sequence[Sequence[str]], victims: Sequence[Victim], seconds: float, calm: float, on_progress: Progress
) -> list[Seen]:
    await asyncio.sleep(QUIET_S)
    all_ = [Seen(", ".join(names), on.resident) for names, on in zip(groups, victims, strict=True)]
    showing = asyncio.create_task(_show_progress(all_, on_progress))
    try:
        each = zip(all_, groups, victims, strict=True)
        await asyncio.gather(*(_one(seen, names, on, seconds, calm) for seen, names, on in each))
    finally:
        showing.cancel()
    return all_


async def _show_progress(all_: Sequence[Seen], on_progress: Progress) -> None:
    began = monotonic()
    while True:
        on_progress(monotonic() - began, max(seen.highest for seen in all_))
        await asyncio.sleep(LOOK_S)


async def _one(seen: Seen, names: Sequence[str], on: Victim, seconds: float, calm: float) -> None:
    watching = asyncio.create_task(_watch(seen, on))
    try:
        seen.opened = sum(await asyncio.gather(*(attack(on.target, ATTACKS[name], seconds, calm) for name in names)))
        until = monotonic() + BACK_S
        while monotonic() < until and (calm <= 1 or on.resident > seen.before + STAYING_MB):
            await asyncio.sleep(LOOK_S)
    finally:
        watching.cancel()
    seen.after = on.resident


async def _watch(seen: Seen, on: Victim) -> None:
    while True:
        seen.highest = max(seen.highest, on.resident)
        seen.temporary = max(seen.temporary, on.temporary)
        await asyncio.sleep(LOOK_S)


def _figure(seen: Seen) -> Figure:
    more = {"before": seen.before, "a minute after": seen.after, "temporary files": seen.temporary}
    bar = f"under {HIGHEST_MB:.0f}, back within {STAYING_MB:.0f}"
    return Figure("attacks", seen.name, seen.highest, "MB", bar, seen.met, more)
