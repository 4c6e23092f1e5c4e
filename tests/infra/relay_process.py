"""A relay in a process of its own, for tests that kill it.

Arguments: database URI, brokers, topic prefix, and where it kills itself: `before-commit`, `after-commit` (of the
second transaction of partition 0) or `never`, with `:SECONDS` behind it for a shorter term of the lease.
"""

import asyncio
import os
import signal
import sys

from aiokafka import AIOKafkaProducer

from infra.postgres import lease
from infra.relay import run_relay
from tests.infra.relaying import settings_for


def arm(where: str) -> None:
    """Make the second commit the last thing that this process does, or almost does."""
    commit = AIOKafkaProducer.commit_transaction
    commits = 0

    async def deadly(producer: AIOKafkaProducer) -> None:
        nonlocal commits
        commits += producer._txn_manager.transactional_id.endswith("-0")
        if commits == 2 and where == "before-commit":
            os.kill(os.getpid(), signal.SIGKILL)
        await commit(producer)
        if commits == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    if where != "never":
        AIOKafkaProducer.commit_transaction = deadly


def main() -> None:
    """Relay until killed."""
    uri, kafka, prefix, where = sys.argv[1:]
    where, _, term = where.partition(":")
    if term:
        lease.TERM_S, lease.RENEW_EVERY_S = float(term), float(term) / 5
    arm(where)
    asyncio.run(run_relay(settings_for(uri, kafka, prefix), asyncio.Event()))


if __name__ == "__main__":
    main()
