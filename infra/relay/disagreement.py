"""The errors after which no relay may go on by itself: publishing more would make a split history permanent."""


class TopicDisagrees(Exception):
    """The ledger's topic and the database have different histories.

    So it is after an old backup was restored, or when the topic belongs to another log. `partition` and the
    `position` where they differ; the text says what to do.
    """

    def __init__(self, partition: int, position: int, what: str) -> None:
        """`what` ends the sentence "In partition 3 the topic ..."."""
        super().__init__(
            f"In partition {partition} the topic {what}. Nothing was published."
            " Restore the database to its newest state, or give the log a new topic (SCRIP_TOPIC_PREFIX)."
        )
        self.partition = partition
        self.position = position


class LogGap(Exception):
    """The database returned events that do not follow each other; what lies between would be lost."""

    def __init__(self, partition: int, expected: int, found: int) -> None:
        super().__init__(f"Partition {partition} of the log has a gap: position {expected} expected, {found} found.")
        self.partition = partition
        self.position = expected
