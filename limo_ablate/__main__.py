"""The command line: `limo-ablate VERB ...`, or Hydra overrides for one trial (`-m` for several).

    limo-ablate select.size=64 select.quality=L5 model=mini_m seed=1
    limo-ablate sweep miniature

Exit codes: 0 done, 2 a user's error, 3 some trials failed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_TRIALS_FAILED,
    EXIT_USER_ERROR,
    TrialFailure,
    UserError,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERBS = {
    "select": "limo_ablate.report.preview.cli:main",
    "plan": "limo_ablate.sweep.plan.cli:main",
    "sweep": "limo_ablate.sweep.cli:sweep",
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


def run_hydra(argv: list[str]) -> int:
    """One trial, or a multirun, under Hydra's own command line."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from limo_ablate.trial.compose import CONF, explain

    failures: list[Exception] = []

    def job(cfg: DictConfig) -> None:
        try:
            _one_trial(cfg)
        except (UserError, TrialFailure) as error:  # told by main(), without Hydra's own report of it
            failures.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and the error is ours to tell
    sys.argv = [sys.argv[0], *argv]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, [a for a in argv if "=" in a and not a.startswith("-")]) from error
    except ValueError as error:
        if "can be specified" not in str(error):
            raise
        raise UserError(str(error)) from error  # two of Hydra's flags that exclude each other
    if failures:
        raise failures[0]
    return 0


def _one_trial(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from limo_ablate.trial.compose import to_trial

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        config = to_trial(cfg)
    except UserError:
        with suppress(OSError):
            folder.rmdir()  # made by Hydra; kept if anything else is in it
        raise
    given = (override.partition("=") for override in hydra.overrides.task)
    cell: dict[str, object] = {key: value for key, _, value in given}
    from limo_ablate.trial.identity import TrialLabels
    from limo_ablate.trial.run import run_trial
    from limo_ablate.trial.show import print_trial

    metrics = run_trial(config, folder, TrialLabels(study=None, cell=cell, name=folder.name))
    print_trial(metrics, folder)


if __name__ == "__main__":
    sys.exit(main())
