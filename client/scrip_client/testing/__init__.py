"""For tests of programs that use Scrip: a server in memory, without PostgreSQL, Kafka or a network."""

from scrip_client.testing.server import FakeScrip

__all__ = ["FakeScrip"]
