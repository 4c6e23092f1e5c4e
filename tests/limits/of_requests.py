"""Bounds on what one request may carry and one answer may hold."""

from typing import Any

import httpx

from api import batch, budgets, prices
from api.accounts import reads as accounts_reads
from api.generations import commands as generations_commands
from api.generations import explain
from api.generations import reads as generations_reads
from api.groups import commands as groups_commands
from api.http import connection, fields, limits, lists, server
from api.log import reads as log_reads
from api.log import stream
from api.plans import catalogue
from api.users import analytics
from api.users import reads as users_reads
from console import bounded_form
from domain import ids
from domain.credits import commands as account_commands
from domain.prices import publish
from infra import strict_json
from infra.log import statements
from infra.security import tokens
from infra.settings import Settings
from infra.webhooks import sending
from tests.limits import answers
from tests.limits.bound import Attacker, Attempt, Bound, sends

GRANTS = "/api/v1/accounts/user:u:credits/grants"
GRANT: dict[str, Any] = {"amount": 1, "source": "gift"}
FORMS = "tests/console/test_form_bounds.py::"
PAST = "tests/api/test_past.py::"
PAST_OF_ONE = PAST + "test_one_login_and_one_organisation_have_so_many_at_a_time"
PAST_OF_ALL = PAST + "test_a_process_has_so_many_at_a_time_and_each_so_much_time"
DOCUMENTS = "tests/api/test_printing.py::test_documents_have_a_bound_and_keep_nobody_else_waiting"
FAIR = "tests/attacks/test_fair_shares.py::"
WIRE, PIPELINES, PROOF = "tests/api/test_wire.py::", "tests/api/test_pipelines.py::", "tests/api/test_proof.py::"


def _too_long_a_key(attacker: Attacker) -> httpx.Response:
    return attacker.client().post(GRANTS, json=GRANT, headers={"Idempotency-Key": "k" * 256})


def _too_long_a_token(attacker: Attacker) -> httpx.Response:
    login = {"Authorization": "Bearer " + "t" * (tokens.MAX_TOKEN_BYTES + 1)}
    return attacker.client().get("/api/auth/me", headers=login)


def _large(name: str) -> Attempt:
    """A large body where there is no room left. How it is taken: tests/attacks/test_fair_shares.py."""

    def attempt(attacker: Attacker) -> httpx.Response:
        attacker.lower(limits, name, 0)
        return attacker.client("worker").post("/api/v1/batch", content=b" " * (fields.MAX_BODY + 1))

    return attempt


def _nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def _body(path: str, limit: int, method: str = "POST") -> Bound:
    return Bound(limit, sends(method, path, content=limit + 1))


BOUNDS: dict[str, Bound] = {
    "Head of a request: target and headers": Bound(connection.MAX_HEAD, WIRE + "test_a_head_has_a_limit"),
    "Headers of a request": Bound(connection.MAX_HEADERS, WIRE + "test_headers_have_a_number"),
    "Time for a head": Bound(connection.HEAD_S, WIRE + "test_a_head_has_its_time"),
    "Time for a body, for each 65,536 bytes of it": Bound(connection.BODY_S, WIRE + "test_a_body_has_its_time"),
    "Parts that a body may come in": Bound(connection.FREE_PARTS, WIRE + "test_a_body_comes_in_so_many_parts"),
    "Time without a request": Bound(server.KEEP_ALIVE_S, PIPELINES + "test_an_idle_connection_is_closed"),
    "Time to read an answer, for each 65,536 bytes of it": Bound(
        connection.UNREAD_S, "tests/attacks/test_unread_answers.py::test_who_does_not_read_is_cut"
    ),
    "Requests that wait on one connection": Bound(
        connection.MAX_WAITING, PIPELINES + "test_few_requests_are_read_ahead"
    ),
    "Connections of an address": Bound(
        Settings.model_fields["connections_per_address"].default,
        "tests/attacks/test_slow_callers.py::test_one_address_has_a_limit",
    ),
    "Connections of a process": Bound(
        Settings.model_fields["connections"].default,
        "tests/attacks/test_slow_callers.py::test_ten_thousand_idle_connections_keep_nobody_out",
    ),
    "Memory of requests that are read or wait": Bound(
        Settings.model_fields["request_memory_mb"].default,
        "tests/attacks/test_unread_answers.py::test_requests_have_a_memory",
    ),
    "What a caller has of it and is served from the reserve": Bound(
        limits.LITTLE, FAIR + "test_six_addresses_that_fill_the_memory_of_requests_stop_nobody"
    ),
    "Form of somebody who is signed in": Bound(
        bounded_form.MAX_FORM, FORMS + "test_a_form_of_somebody_signed_in_has_a_limit"
    ),
    "Files of a form": Bound(bounded_form.MAX_FILES, FORMS + "test_a_form_has_one_file"),
    "Form of the sign-in": Bound(bounded_form.SIGN_IN_FORM, FORMS + "test_the_sign_in_reads_little"),
    "Fields of the sign-in": Bound(bounded_form.SIGN_IN_FIELDS, FORMS + "test_the_sign_in_reads_little"),
    "Body": _body(GRANTS, fields.MAX_BODY),
    "Body of `POST /api/v1/generations`": _body("/api/v1/generations", generations_commands.MAX_CREATE_BODY),
    "Body of a confirmation": _body("/api/v1/generations/g/confirm", generations_commands.MAX_CONFIRM_BODY),
    "Body of a generation's refund": _body("/api/v1/generations/g/refund", generations_commands.MAX_REFUND_BODY),
    "Body of members": _body("/api/group-members", groups_commands.MAX_MEMBERS_BODY),
    "Body of prices, and of their preview": _body("/api/v1/prices", prices.MAX_PRICES_BODY, "PUT"),
    "Body of features, and of packages": _body("/api/v1/features", catalogue.MAX_CATALOGUE_BODY, "PUT"),
    "Body of cost records": _body("/api/v1/budgets/costs", budgets.MAX_COSTS_BODY),
    "Body of a batch": _body("/api/v1/batch", batch.MAX_BATCH_BODY),
    "Large bodies of a login at a time": Bound(limits.MAX_OF_LOGIN, _large("MAX_OF_LOGIN")),
    "Large bodies of an organisation at a time": Bound(limits.MAX_OF_ORG, _large("MAX_OF_ORG")),
    "Large bodies of a process at a time": Bound(limits.MAX_BYTES, _large("MAX_BYTES")),
    "Documents (PDF) of a login at a time": Bound(limits.DOCUMENTS_OF_LOGIN, DOCUMENTS),
    "Documents (PDF) of an organisation at a time": Bound(limits.DOCUMENTS_OF_ORG, DOCUMENTS),
    "Answers from the past of a login at a time": Bound(limits.FOLDS_OF_LOGIN, PAST_OF_ONE),
    "Answers from the past of an organisation at a time": Bound(limits.FOLDS_OF_ORG, PAST_OF_ONE),
    "Answers from the past of a process at a time": Bound(limits.FOLDS, PAST_OF_ALL),
    "Time for an answer from the past": Bound(limits.FOLD_S, PAST_OF_ALL),
    "Documents (PDF) of a process at a time": Bound(limits.DOCUMENTS, DOCUMENTS),
    "Depth of JSON": Bound(strict_json.MAX_DEPTH, sends("POST", GRANTS, json=GRANT | {"metadata": _nested(16)})),
    "Digits of a whole number": Bound(strict_json.MAX_DIGITS, sends("POST", GRANTS, json=GRANT | {"amount": 10**18})),
    "Credits or tokens of one command": Bound(
        fields.MAX_AMOUNT, sends("POST", GRANTS, json=GRANT | {"amount": 10**12 + 1})
    ),
    "Metadata": Bound(fields.MAX_METADATA_BYTES, sends("POST", GRANTS, json=GRANT | {"metadata": {"a": "x" * 4_096}})),
    "Free text": Bound(fields.MAX_TEXT, sends("POST", GRANTS, json=GRANT | {"reason": "x" * 2_001})),
    "Prompt": Bound(
        generations_commands.MAX_PROMPT,
        sends("POST", "/api/v1/generations", json={"operation": "chat", "prompt": "x" * 20_001}),
    ),
    "Id": Bound(ids.MAX_ID, sends("POST", GRANTS, json=GRANT | {"external_ref": "x" * 256})),
    "Idempotency key": Bound(255, _too_long_a_key),
    "Login token": Bound(tokens.MAX_TOKEN_BYTES, _too_long_a_token),
    "Parameters of a query": Bound(
        fields.MAX_PARAMETERS, sends("GET", "/api/v1/accounts?" + "&".join(f"p{n}=1" for n in range(51)))
    ),
    "Cursor": Bound(2_000, sends("GET", "/api/v1/accounts?cursor=" + "c" * 2_001)),
    "Names in one question": Bound(
        users_reads.MOST_NAMED, sends("GET", "/api/v1/users?ids=" + ",".join(f"u{n}" for n in range(201)))
    ),
    "Types that a live stream is asked for": Bound(
        stream.MAX_TYPES, sends("GET", "/api/v1/stream?types=" + ",".join(f"t{n}" for n in range(51)))
    ),
    "Operations of a batch": Bound(
        batch.MAX_OPERATIONS, sends("POST", "/api/v1/batch", json={"operations": [{"path": GRANTS}] * 1_001})
    ),
    "Members in one call": Bound(
        groups_commands.MAX_USERS,
        sends("POST", "/api/group-members", json={"group_id": "g", "user_ids": ["u"] * 1_001}),
    ),
    "Cost records in one call": Bound(
        budgets.MAX_ENTRIES, sends("POST", "/api/v1/budgets/costs", json={"entries": [{}] * 1_001})
    ),
    "Contents of a generation": Bound(
        generations_commands.MAX_CONTENTS,
        sends("POST", "/api/v1/generations/g/confirm", json={"contents": [{"bytes": 1}] * 501}),
    ),
    "Price entries": Bound(
        publish.MAX_ENTRIES,
        sends("PUT", "/api/v1/prices", json={"entries": [{"operation": "chat", "credits": 1}] * 2_001}),
    ),
    "Prices as one event": Bound(
        statements.MAX_EVENT_BYTES,
        sends(
            "PUT",
            "/api/v1/prices",
            json={"entries": [{"model": f"{n:0250}", "operation": "o" * 250, "credits": 1} for n in range(1_800)]},
        ),
    ),
    "URL of a webhook": Bound(
        sending.MAX_URL, sends("POST", "/api/v1/webhooks", json={"url": "https://a.example/" + "a" * 2_000})
    ),
    "Life of a hold": Bound(
        account_commands.MAX_TTL_S,
        sends("POST", "/api/v1/accounts/user:u:credits/reservations", json={"amount": 1, "ttl_seconds": 604_801}),
    ),
    "Life of a session token": Bound(
        tokens.MAX_SESSION_S, sends("POST", "/api/v1/session-tokens", json={"user_id": "u", "ttl_seconds": 3_601})
    ),
    "Time until a command is answered": Bound(
        Settings.model_fields["request_deadline_s"].default,
        "tests/infra/writer/test_queue.py::test_late_answers_are_unknown_and_the_key_tells_later",
    ),
    "Items of a page": Bound(lists.MAX_LIMIT, sends("GET", "/api/v1/accounts?limit=201")),
    "Bytes of a page of events": Bound(
        log_reads.MAX_BYTES, "tests/limits/test_edges.py::test_a_page_of_large_events_ends"
    ),
    "Days of a report": Bound(
        lists.MAX_DAYS, sends("GET", "/api/v1/analytics?metric=usage&from=2020-01-01&to=2024-01-01")
    ),
    "Days of a report by hours": Bound(
        lists.MAX_HOUR_DAYS,
        sends("GET", "/api/v1/analytics?metric=usage&bucket=hour&from=2024-01-01&to=2024-03-01"),
    ),
    "Figures of a report": Bound(analytics.MAX_ROWS, answers.figures),
    "Lines of a file": Bound(lists.MOST, answers.lines),
    "Movements of a statement": Bound(accounts_reads.MAX_MOVEMENTS, answers.movements),
    "Entries of a state": Bound(
        log_reads.MOST_SHOWN, PROOF + "test_a_state_shows_so_many_entries_those_that_changed_first"
    ),
    "Events that a state or a balance at another time is folded from": Bound(
        log_reads.MOST_FOLDED, PROOF + "test_a_state_shows_so_many_entries_those_that_changed_first"
    ),
    "Results of a search, of each kind": Bound(users_reads.MOST_HITS, answers.hits),
    "Parts of a generation that are shown": Bound(generations_reads.MAX_CHILDREN, answers.children),
    "Events that an explanation reads": Bound(explain.MAX_OTHERS, answers.explanation),
    "Moments of an expiry list": Bound(accounts_reads.MAX_ITEMS, answers.moments),
    "Kinds of use in a price preview": Bound(prices.MAX_KINDS, answers.kinds),
}
