"""Runners with the small jobs, in processes that tests can kill.

drive.py STUDY.yaml [OVERRIDE ...] [--extend]     a sweep
drive.py join FOLDER [trials=N] [OVERRIDE ...]     one more runner
"""

import sys


def main(arguments: list[str]) -> int:
    # imported here, for multiprocessing imports this file again in every job
    from functools import partial
    from pathlib import Path

    from limo_ablate.core.errors import UserError
    from limo_ablate.study.design import load_study
    from limo_ablate.sweep import coordinate, join
    from limo_ablate.sweep.ledger.lease import Lease
    from limo_ablate.sweep.runner import Commands

    coordinate.Lease = join.Lease = partial(Lease, beat=0.5)  # type: ignore[assignment, misc]
    commands = Commands(
        trial="sweep_jobs:trial",
        prepare="sweep_jobs:prepare",
        report="sweep_jobs:report",
        preload=("sweep_jobs",),
    )
    try:
        if arguments[0] == "join":
            folder, *extra = arguments[1:]
            trials = (
                int(extra.pop(0).removeprefix("trials=")) if extra[:1] and "trials=" in extra[0] else None
            )
            return join.join(Path(folder), extra, trials, commands)
        extend = "--extend" in arguments
        study, *extra = [argument for argument in arguments if argument != "--extend"]
        return coordinate.run(load_study(study, extra), commands=commands, extend=extend)
    except UserError as error:
        print(f"limo-ablate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    code = main(sys.argv[1:])
    print("imported torch" if "torch" in sys.modules else "no torch")
    print("forked" if "multiprocessing.popen_forkserver" in sys.modules else "not forked")
    sys.exit(code)
