"""`limo-ablate retry STUDY [TRIAL ...]` gives trials that failed, and were left alone, new attempts.

STUDY is a name or a folder, TRIAL a trial's name (`size64-L5-s0`); without one, all that failed. A sweep that
runs takes them up within seconds; else the next one does.
"""

from __future__ import annotations

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import study_folder
from limo_ablate.sweep.ledger.flock import coordinator_of
from limo_ablate.sweep.ledger.queue import retry
from limo_ablate.sweep.session import Session, all_trials


def main(argv: list[str]) -> int:
    """Returns the exit code. Raises UserError."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    folder, wanted = study_folder(argv[0]), argv[1:]
    session = Session.of(load_study(str(folder / "study.yaml")), folder)
    ledger = session.ledger()
    trials = all_trials(session, ledger.rows())
    names = {trial.name: trial for trial in trials}
    if unknown := [name for name in wanted if name not in names]:
        raise UserError(
            f"{unknown[0]}: no such trial in {folder}{nearest(unknown[0], list(names))} "
            f"`limo-ablate status {argv[0]}` lists those that failed"
        )
    stuck = retry(ledger, [names[name] for name in wanted] if wanted else trials, folder)
    for trial in stuck:
        print(f"{trial.name}: waits again")
    for name in sorted(set(wanted) - {trial.name for trial in stuck}):
        print(f"{name}: has not failed for good, left as it is")
    if not stuck and not wanted:
        print(f"{session.study.name}: no trial has failed for good")
    elif stuck and coordinator_of(folder) is None:
        print(f"go on with the same sweep again, or with: limo-ablate join {folder}")
    return 0
