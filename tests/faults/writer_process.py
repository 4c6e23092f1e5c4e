"""A writer in a process of its own: a JSON list of debits on each line in, a JSON list of answers on each line out.

Run as `python -m tests.faults.writer_process URI ORG`; SCRIP_FAILPOINTS says how it is to die.
"""

import json
import sys

from domain.credits.commands import Debit
from domain.registry import SCRIP
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer


def main() -> None:
    """Serve until the end of standard input."""
    uri, org = sys.argv[1:]
    with Writer(uri, SCRIP) as writer:
        for line in sys.stdin:
            items = [
                Submission(
                    org=org,
                    command=Debit(address=item["address"], debit_id=item["key"], amount=item["amount"]),
                    actor="user:tester",
                    caller="test",
                    key=item["key"],
                )
                for item in json.loads(line)
            ]
            answers = [
                {"position": found.position, "replayed": found.replayed, "refused": found.refusal is not None}
                if isinstance(found, Outcome)
                else {"refused": True}
                for found in writer.submit(items).result(30)
            ]
            sys.stdout.write(json.dumps(answers) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
