"""One trial, or a multirun, from Hydra's command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.core.errors import TrialFailure, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_hydra(argv: Sequence[str]) -> int:
    """Runs what Hydra's command line `argv` asks for. Raises UserError and TrialFailure."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from limo_ablate.trial.compose import CONF, explain

    failures: list[Exception] = []

    def job(cfg: DictConfig) -> None:
        try:
            _one_trial(cfg)
        except (UserError, TrialFailure) as error:  # raised below, without Hydra's own report of it
            failures.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and the error is ours to print
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
