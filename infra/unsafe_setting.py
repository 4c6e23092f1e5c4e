"""The error with which Scrip refuses to serve on a server that would lose or change what it is given."""


class UnsafeSetting(Exception):
    """A setting of PostgreSQL, Kafka or Scrip with which credits could be lost.

    `server` ("PostgreSQL", "Kafka", "Scrip"), `setting`, the `value` found and the one `needed`, all for people.
    """

    def __init__(self, server: str, setting: str, value: object, needed: str) -> None:
        """Name what is wrong and what is needed instead."""
        super().__init__(f"{server}: {setting} is {value}, but must be {needed}")
        self.server = server
        self.setting = setting
        self.value = str(value)
        self.needed = needed
