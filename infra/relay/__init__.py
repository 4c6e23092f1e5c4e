"""The relay: copies committed events to Kafka, in order and exactly once for `read_committed` readers."""

from infra.relay.disagreement import TopicDisagrees
from infra.relay.relay import Relay
from infra.relay.role import run_relay

__all__ = ["Relay", "TopicDisagrees", "run_relay"]
