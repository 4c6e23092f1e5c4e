"""One stored example of every event type that was ever released. These files never change; new versions add files."""
