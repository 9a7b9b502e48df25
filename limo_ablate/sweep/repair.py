"""`limo-ablate repair`: a ledger that can be read again, from a damaged one and the results on disk.

Only the lines before the first damaged one are kept: a row's number is its place in the file, so that the
lines after a gap would speak of other trials.
"""

from __future__ import annotations

import time

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.project import command
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import STUDY, study_folder
from limo_ablate.sweep.ledger.flock import coordinator
from limo_ablate.sweep.ledger.journal import readable_lines
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import LEDGER
from limo_ablate.sweep.reconcile import differences, reconcile
from limo_ablate.sweep.session import Session
from limo_ablate.sweep.status import live_runners
from limo_ablate.sweep.trust import check_trust


def repair_study(name: str, *, trust: bool = False) -> None:
    """Repairs the study's ledger and prints each step; `trust`: as for `sweep`.

    Raises UserError where nothing can be repaired.
    """
    folder = study_folder(name)
    session = Session.of(load_study(str(folder / "study.yaml")), folder)
    check_trust(session.study.name, session.trials, session.searches, (), trust=trust)
    if session.study.ledger:
        raise UserError(f"{name}: its ledger is {session.study.ledger}; only a {LEDGER} can be repaired")
    if runners := live_runners(folder):
        raise UserError(
            f"{name}: {', '.join(runner.id for runner in runners)} may be at work; end them first"
        )
    with coordinator(folder), Lease(folder) as lease:
        path = folder / LEDGER
        if path.exists():
            content = path.read_bytes()
            lines = content.splitlines(keepends=True)
            good = readable_lines(content)
            if good < len(lines):
                aside = path.with_name(f"{LEDGER}.damaged-{time.time_ns()}")
                path.rename(aside)
                write_atomically(path, b"".join(lines[:good]))
                print(f"line {good + 1} of {len(lines)} can't be read: the {good} before it are kept")
                print(f"the damaged file is now {aside}; failures and costs only it has don't count now")
        ledger = session.ledger()
        differ = differences(session, ledger.rows(), keep_stale=True)
        reconcile(session, ledger, lease.id, differ)
    print("\n".join(differ.lines()) or "ledger and results on disk agree")
    print(f"to continue: {command('sweep', str(folder / STUDY))}")
