"""`limo-ablate retry`: new attempts for trials that were given up."""

from __future__ import annotations

from collections.abc import Sequence

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import command
from limo_ablate.core.typed import nearest
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import study_folder
from limo_ablate.sweep.ledger.flock import coordinator_of
from limo_ablate.sweep.ledger.queue import retry
from limo_ablate.sweep.session import Session, all_trials
from limo_ablate.sweep.trust import check_trust


def retry_trials(study: str, wanted: Sequence[str], *, trust: bool = False) -> list[str]:
    """Gives `wanted`, or all trials that were given up, new attempts, and prints and returns which.

    `trust`: as for `sweep`. Raises UserError.
    """
    folder = study_folder(study)
    session = Session.of(load_study(str(folder / "study.yaml")), folder)
    check_trust(session.study.name, session.trials, session.searches, (), trust=trust)
    ledger = session.ledger()
    trials = all_trials(session, ledger.rows())
    names = {trial.name: trial for trial in trials}
    if unknown := [name for name in wanted if name not in names]:
        raise UserError(
            f"{unknown[0]}: no such trial in {folder}{nearest(unknown[0], list(names))} "
            f"`{command('status', study)}` lists those that failed"
        )
    stuck = retry(ledger, [names[name] for name in wanted] if wanted else trials, folder)
    for trial in stuck:
        print(f"{trial.name}: waits again")
    for name in sorted(set(wanted) - {trial.name for trial in stuck}):
        print(f"{name}: was not given up, nothing changed")
    if not stuck and not wanted:
        print(f"{session.study.name}: no trial was given up")
    elif stuck and coordinator_of(folder) is None:
        print(f"to continue, run the same sweep again, or: {command('join', str(folder))}")
    return [trial.name for trial in stuck]
