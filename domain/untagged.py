"""Events that are about their whole stream."""


class Untagged:
    """An event about no one entity of its stream, so that nothing is looked up by it."""

    __slots__ = ()

    @property
    def tag(self) -> None:
        """No entity."""
        return None
