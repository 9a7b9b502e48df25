"""A sweep with the small jobs, in a process that tests can kill: `drive.py STUDY.yaml [OVERRIDE ...]`."""

import sys


def main() -> int:
    # imported here, for multiprocessing imports this file again in every job
    from limo_ablate.errors import UserError
    from limo_ablate.sweep.cli import run
    from limo_ablate.sweep.design import load_study
    from limo_ablate.sweep.runner import Jobs

    jobs = Jobs(
        trial="sweep_jobs:trial",
        prepare="sweep_jobs:prepare",
        report="sweep_jobs:report",
        preload=("sweep_jobs",),
    )
    try:
        return run(load_study(sys.argv[1], sys.argv[2:]), jobs=jobs)
    except UserError as error:
        print(f"limo-ablate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    code = main()
    print("imported torch" if "torch" in sys.modules else "no torch")
    print("forked" if "multiprocessing.popen_forkserver" in sys.modules else "not forked")
    sys.exit(code)
