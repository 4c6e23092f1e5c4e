"""A generation worker: takes jobs, one JSON object per line on standard input, and settles each of them with Scrip.

    export SCRIP_URL=http://127.0.0.1:8080 SCRIP_TOKEN=... SCRIP_JOURNAL=worker.journal
    echo '{"id": "job-1", "user": "u_42", "operation": "image", "model": "FLUX.1 [dev]"}' | python worker.py

A job that the application has already created is taken over by its id: {"generation": "job-2"}. Killed at any moment,
the worker makes good for it at its next start. Replace `run_model`; the rest is what a real worker needs.
"""
# ruff: noqa: INP001 - a program of its own, in no package

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from scrip_client import (
    AsyncGeneration,
    AsyncScrip,
    Conflict,
    InputBlocked,
    InsufficientResources,
    NotFound,
    Unavailable,
)

log = logging.getLogger("worker")

AT_ONCE = 4
SLOWEST_S = 600


async def run_model(job: dict[str, Any]) -> bytes:
    """Stands for the provider's call: takes `seconds`, refuses the prompt `forbidden`."""
    if job.get("prompt") == "forbidden":
        raise InputBlocked("the provider does not take this prompt")
    await asyncio.sleep(job.get("seconds", 0.1))
    return b"x" * int(job.get("size", 1_000_000))


def opened(scrip: AsyncScrip, job: dict[str, Any]) -> AsyncGeneration:
    """The job's generation: one that the application has created, or a new one."""
    if "generation" in job:
        return scrip.work_on(job["generation"])
    return scrip.generation(
        user=job["user"],
        operation=job["operation"],
        model=job.get("model"),
        id=job.get("id"),
        prompt=job.get("prompt"),
        options=job.get("options"),
    )


async def work(scrip: AsyncScrip, job: dict[str, Any]) -> None:
    """Hold, run, settle. One job's failure is not the worker's."""
    name = job.get("id") or job.get("generation")
    try:
        async with opened(scrip, job) as generation:
            async with asyncio.timeout(SLOWEST_S):
                result = await run_model(job)
            # Keep the result before this: from here on it is paid for, even if the worker dies now.
            generation.confirm(content_bytes=len(result))
        log.info("%s: done, charged %s", name, generation.receipt and generation.receipt.charged.credits)
    except InsufficientResources as short:
        log.info("%s: refused, %s", name, short.detail)
    except (InputBlocked, TimeoutError) as failed:
        log.info("%s: failed and given back, %s", name, failed)
    except (Conflict, NotFound) as gone:
        log.info("%s: nothing to do, %s", name, gone)
    except Unavailable as away:
        log.warning("%s: put it back into the queue, %s", name, away)
    except Exception:
        log.exception("%s: failed and given back", name)


def queue() -> "asyncio.Queue[dict[str, Any] | None]":
    """The jobs of standard input, None at its end. Yours is a real queue's client."""
    jobs: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(jobs.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(jobs.put_nowait, None)

    Thread(target=read, daemon=True).start()
    return jobs


async def main() -> None:
    """Work until the jobs end, or until SIGTERM, which gives back what is running."""
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    if here is not None:
        loop.add_signal_handler(signal.SIGTERM, here.cancel)
    journal = Path(os.environ.get("SCRIP_JOURNAL", "worker.journal"))
    async with AsyncScrip(os.environ["SCRIP_URL"], token=os.environ["SCRIP_TOKEN"], journal=journal) as scrip:
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            jobs = queue()
            while (job := await jobs.get()) is not None:
                await room.acquire()
                task = group.create_task(work(scrip, job))
                task.add_done_callback(lambda _: room.release())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
