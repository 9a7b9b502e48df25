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

        from limo_ablate.core.errors import EXIT_INTERRUPTED, TrialFailure
        from limo_ablate.study.design import multirun_study
        from limo_ablate.sweep.coordinate import run
        from limo_ablate.trial.compose import search_path_overrides

        assert self.config is not None
        assert self.hydra_context is not None
        folder = Path(self.config.hydra.sweep.dir)
        arguments = [*search_path_overrides(self.config.hydra), *arguments]
        seed = self.config.get("seed", 0)  # the trial's own check says what is missing
        study = multirun_study(folder.name, arguments, self.hydra_context.config_loader, seed)
        code = run(study, folder, extend=True)  # a multirun is whatever was asked for last
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise TrialFailure(f"some trials of {folder} failed; their reasons are above")
