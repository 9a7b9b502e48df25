"""Runners with the small jobs, in processes that tests can kill.

drive.py STUDY.yaml [OVERRIDE ...] [--extend]     a sweep
drive.py join FOLDER [--trials N] [OVERRIDE ...]   one more runner
"""

import sys


def main(arguments: list[str]) -> int:
    # imported here, for multiprocessing imports this file again in every job
    from functools import partial

    from limo_ablate.cli import main as command_line
    from limo_ablate.sweep import coordinate, join
    from limo_ablate.sweep.ledger.lease import Lease
    from limo_ablate.sweep.runner import Commands

    coordinate.Lease = join.Lease = partial(Lease, beat=0.5)  # type: ignore[assignment, misc]
    commands = Commands(
        trial="sweep_jobs:trial",
        prepare="sweep_jobs:prepare",
        report="sweep_jobs:report",
        checked=False,
        preload=("sweep_jobs",),
    )
    coordinate.run = partial(coordinate.run, commands=commands)
    join.join = partial(join.join, commands=commands)
    return command_line(arguments if arguments[0] == "join" else ["sweep", *arguments])


if __name__ == "__main__":
    code = main(sys.argv[1:])
    print("imported torch" if "torch" in sys.modules else "no torch")
    print("forked" if "multiprocessing.popen_forkserver" in sys.modules else "not forked")
    sys.exit(code)
