"""The command line: `limo-ablate VERB ...`, or Hydra overrides for one trial (`-m` for several).

    limo-ablate select.size=64 select.quality=L5 model=mini_m seed=1
    limo-ablate sweep miniature

Exit codes: 0 done, 2 a user's error, 3 some trials failed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version

from limo_ablate.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_TRIALS_FAILED,
    EXIT_USER_ERROR,
    TrialFailure,
    UserError,
)

VERBS = {
    "select": "limo_ablate.report.preview.cli:main",
    "plan": "limo_ablate.sweep.plan.plan:main",
    "sweep": "limo_ablate.sweep.coordinate:sweep",
    "join": "limo_ablate.sweep.join:main",
    "retry": "limo_ablate.sweep.retry:main",
    "status": "limo_ablate.sweep.status:status",
    "report": "limo_ablate.report.cli:main",
    "freeze": "limo_ablate.analysis.register.cli:main",
    "view": "limo_ablate.report.serve.cli:main",
    "compare": "limo_ablate.report.compare.cli:main",
    "why": "limo_ablate.report.compare.why:main",
    "dashboard": "limo_ablate.report.wandb.dashboard:main",
    "score": "limo_ablate.verify.cli:score",
    "verify": "limo_ablate.verify.cli:verify",
    "wandb-sync": "limo_ablate.report.wandb.sync:main",
    "wandb-sweep": "limo_ablate.report.wandb.sweep_file:main",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0] in VERBS:
            module, function = VERBS[argv[0]].split(":")
            return int(getattr(import_module(module), function)(argv[1:]))
        if argv == ["--version"]:
            print(f"limo-ablate {version('limo-ablate')}")
            return 0
        if argv and "=" not in argv[0] and argv[0][:1] not in ("-", "+", "~"):
            raise unknown(argv[0])
        from limo_ablate.trial.cli import run_hydra

        return run_hydra(argv)
    except UserError as error:
        print(f"limo-ablate: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except TrialFailure as error:
        print(f"limo-ablate: the trial failed: {error}", file=sys.stderr)
        return EXIT_TRIALS_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def unknown(word: str) -> UserError:
    """What is neither a verb nor an override."""
    from limo_ablate.core.typed import nearest

    return UserError(
        f"{word}: neither a verb nor an override (key=value){nearest(word, VERBS)} Verbs: {', '.join(VERBS)}"
    )


if __name__ == "__main__":
    sys.exit(main())
