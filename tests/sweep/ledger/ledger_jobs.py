"""A process that works on a ledger, for the tests to race and to kill: `ledger_jobs.py URL NAME RUNNER`.

Claims what waits, ends it, and prints the rows it got; URL is a journal's path or a URL.
"""

import sys
from pathlib import Path

METRICS = {"scores": {"mini": {"accuracy": 0.25}}, "total_seconds": 1.0, "artifacts": {}}


def main(url: str, name: str, runner: str) -> None:
    from limo_ablate.sweep.ledger.ledger import Ledger

    ledger = Ledger(url if "://" in url else Path(url), name)
    print("ready", flush=True)
    sys.stdin.readline()
    waiting = [history.waiting for history in ledger.histories().values() if history.waiting is not None]
    for row_id in waiting:
        if ledger.claim(row_id, runner):
            print(row_id, flush=True)
            assert ledger.finish(row_id, METRICS, Path("trials/x"))


if __name__ == "__main__":
    main(*sys.argv[1:])
