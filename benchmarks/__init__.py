"""The benchmarks of `scrip bench`: each measures Scrip and its yardstick side by side, in one run on one server."""

BENCHES: dict[str, str] = {
    "writer": "commands a second through the writer, against a naive SQL ledger driven by pgbench",
    "http": "reserve and capture over HTTP, against an empty FastAPI handler with the same bodies",
    "api": "every kind of call at 300 requests/s on the whole service, against an empty FastAPI handler",
    "console": "the server's time for every page of the console, at 100,000 transactions of one organisation",
    "relay": "events a second from PostgreSQL to Kafka, against a raw produce",
    "projector": "events a second from Kafka into the read models, against a raw consume and a raw insert",
    "intake": "usage events a second from Kafka to debits, against a raw consume",
    "rebuild": "events a second into a new generation of the read models, against a raw read of the log",
    "lag": "time from the HTTP answer until the balance read model covers it, at 500 commands a second",
    "memory": "resident memory of API, relay and projector after 1,000,000 commands",
    "attacks": "the API's memory under each way to take it, at its highest and a minute later",
    "fairness": "others' times beside the load of one user or organisation, and without it, in the same minute",
    "neighbour": "batches of a busy writer while a second one, idle for 100,000 events, wakes up",
}
