"""Processes that carry a mark in their environment: all that was started from one place, however far away it is now.

A daemon leaves its parent, its session and its process group, but not the environment that it was started with.
"""

import os

import psutil

RUN_FOLDER = "SCRIP_TEST_RUN"  # where each process of a test run keeps its note (`<name>.now`) and its stacks
END_S = 5.0  # PostgreSQL and Kafka stop in order if they are given so long
ROUNDS = 3  # a process may start another while it is being ended


def mark_of(run: str, worker: str | None = None) -> str:
    """The variable that all has which was started by a test run, or by one worker of it."""
    return "PROCESS_OF_" + run.replace("-", "_") + (f"_{worker}" if worker else "")


def end_marked(mark: str, end_s: float = END_S) -> list[str]:
    """End every process that has the variable `mark`, and its descendants; all but this process.

    Asks each to end, and kills it after `end_s` seconds. Returns the names of those that had to be ended, sorted.
    """
    ended: set[tuple[int, str]] = set()
    for _ in range(ROUNDS):
        found = _marked(mark)
        if not found:
            break
        ended |= found.keys()
        for process in found.values():
            _signal(process, kill=False)
        _, left = psutil.wait_procs(list(found.values()), end_s)
        for process in left:
            _signal(process, kill=True)
        psutil.wait_procs(left, end_s)
    return sorted(name for _, name in ended)


def has_mark(number: int, mark: str) -> bool:
    """Whether the process of this number has the variable `mark`; not so if there is none, or it is another user's."""
    try:
        return mark in psutil.Process(number).environ()
    except psutil.Error:
        return False


def _marked(mark: str) -> dict[tuple[int, str], psutil.Process]:
    found: dict[tuple[int, str], psutil.Process] = {}
    for process in psutil.process_iter():
        if not has_mark(process.pid, mark):
            continue
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        for member in family:
            try:
                if member.pid != os.getpid() and member.status() != psutil.STATUS_ZOMBIE:
                    found[member.pid, member.name()] = member
            except psutil.Error:
                continue
    return found


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        return
