"""Bring the caches up to date before a decision, without a lock."""

from collections.abc import Sequence
from datetime import datetime

import psycopg

from infra.log import statements
from infra.partitions import Placed
from infra.wire import Pipeline
from infra.writer.loading import MAX_LOOKS, Loader


def catch_up(
    pipeline: Pipeline,
    loader: Loader,
    partitions: Sequence[int],
    wanted: Sequence[Placed] = (),
    tags: Sequence[Placed] = (),
) -> datetime:
    """Follow the tails of the partitions with what of `wanted` and `tags` is cold loaded; returns the database's time.

    What is loaded may be newer than the rest: the look afterwards makes up for that. Raises psycopg.Error.
    """
    with pipeline:
        for _ in range(MAX_LOOKS):
            new = [partition for partition in partitions if not loader.cache(partition).known]
            if new:
                loader.start_at(new, pipeline.execute(statements.HEADS, (new,)).fetchall())
            loader.load(pipeline, *loader.missing(wanted, tags))
            looked = loader.follow(partitions, pipeline.execute(statements.LOOK, loader.seen(partitions)).fetchall())
            if not looked.lost:
                return looked.time
    raise psycopg.OperationalError("the log runs ahead of every look")
