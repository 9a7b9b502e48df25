"""Hydra's `-m` through the sweep engine: `limo-ablate -m select.size=16,64,256 seed=0,1`.

What varies becomes a study of one factorial block in `hydra.sweep.dir`: resumable, side by side, never
twice. `hydra/sweeper=basic` is Hydra's own. Hydra imports this file at every start and instantiates the
class by its dataclass, so nothing heavy is imported here and annotations are not postponed.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

WITHOUT_EFFECT = ("hydra/launcher=", "hydra.launcher.", "hydra.job.", "hydra.run.", "hydra.sweep.subdir=")
"""Beginnings of overrides that change nothing here: the sweep engine starts the trials, in their folders."""


@dataclass
class LimoSweeperConf:
    _target_: str = "hydra_plugins.limo_sweeper.LimoSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="limo", node=LimoSweeperConf, provider="limo_ablate")


class LimoSweeper(Sweeper):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the trials that `arguments` span. Raises TrialFailure when some failed."""
        from pathlib import Path

        from limo_ablate.core.errors import EXIT_INTERRUPTED, TrialFailure, UserError
        from limo_ablate.study.design import multirun_study
        from limo_ablate.sweep.coordinate import run
        from limo_ablate.sweep.ledger.flock import coordinator_of
        from limo_ablate.trial.compose import search_path_overrides

        assert self.config is not None
        assert self.hydra_context is not None
        check_settings(self.config.hydra)
        folder = Path(self.config.hydra.sweep.dir)
        if holder := coordinator_of(folder):
            raise UserError(
                f"{folder}: another -m is running here ({holder}); wait for it or stop it, or choose another "
                "folder: hydra.sweep.dir=DIR"
            )
        arguments = [*search_path_overrides(self.config.hydra), *arguments]
        seed = self.config.get("seed", 0)  # the trial's own check says what is missing
        study = multirun_study(folder.name, arguments, self.hydra_context.config_loader, seed)
        code = run(study, folder, extend=True)  # a multirun is whatever was asked for last
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise TrialFailure(f"some trials of {folder} failed; their reasons are above")


def check_settings(hydra: DictConfig) -> None:
    """Raises UserError for settings of Hydra that would have no effect, and says what has."""
    from limo_ablate.core.errors import UserError

    given = [text.lstrip("+") for text in hydra.overrides.hydra]
    wrong = [text for text in given if text.startswith(WITHOUT_EFFECT)]
    if hydra.job.chdir:
        wrong.append("hydra.job.chdir=true")
    launcher = hydra.runtime.choices.get("hydra/launcher")
    if launcher not in (None, "basic"):
        wrong.append(f"hydra/launcher={launcher}")
    if wrong:
        raise UserError(
            f"{wrong[0]} has no effect under -m, whose trials the sweep engine starts: set launch.slots or "
            "launch=slurm, or choose Hydra's own sweeper with hydra/sweeper=basic"
        )
