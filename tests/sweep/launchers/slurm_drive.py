"""A sweep in Slurm whose trials only count: `slurm_drive.py sweep STUDY.yaml [OVERRIDE ...]`.

`$JOBS` is the module of the trials, else it is `counting_jobs`. Its Slurm jobs are
`slurm_drive.py join FOLDER [--trials 1]`, in the place of `limo-ablate join`.
"""

import os
import sys
from pathlib import Path
from typing import Any


def main(verb: str, what: str, rest: list[str]) -> int:
    # imported here, for multiprocessing imports this file again in every job
    from limo_ablate.core.errors import UserError
    from limo_ablate.study.design import load_study
    from limo_ablate.sweep.coordinate import run
    from limo_ablate.sweep.join import join
    from limo_ablate.sweep.launchers import slurm
    from limo_ablate.sweep.runner import Commands

    jobs, prepare, report = os.environ.get("JOBS", "counting_jobs"), "sweep_jobs:prepare", "sweep_jobs:report"
    commands = Commands(trial=f"{jobs}:trial", prepare=prepare, report=report, checked=False, preload=(jobs,))
    asked_for = slurm.join_command

    def command(*arguments: Any) -> tuple[str, ...]:
        python, _, _, _, *join = asked_for(*arguments)  # python -P -m limo_ablate join ...
        return (python, __file__, *join)

    slurm.join_command, slurm.POLL_SECONDS = command, 0.5
    try:
        if verb == "join":
            return join(Path(what), [], int(rest[1]) if rest else None, commands)
        return run(load_study(what, rest), commands=commands)
    except UserError as error:
        print(f"limo-ablate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
