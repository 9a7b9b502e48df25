"""A folder named by the time is made anew, with a suffix where two trials start in one second."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

OVERRIDE = "+hydra.callbacks.new_folder={_target_:limo_ablate.trial.new_folder.NewFolder}"
"""Makes Hydra call `NewFolder`, whatever the primary configuration."""


class NewFolder(Callback):
    """Makes the folder of one trial before Hydra does, which would share it with a trial that has it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        hydra: Any = OmegaConf.to_container(config.hydra, resolve=False)
        if "${now:" not in str(hydra["run"]["dir"]):
            return  # chosen by the user, who may continue a trial in it
        try:
            folder = new_folder(Path(config.hydra.run.dir))
        except OSError:
            return  # Hydra's own attempt raises it; an error here is a warning to Hydra
        with read_write(config), open_dict(config):
            config.hydra.run.dir = str(folder)


def new_folder(path: Path) -> Path:
    """Makes the folder `path`, or where there is one `path-2`, `path-3`, ...; no other process gets it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = path.with_name(f"{path.name}-{number}") if number > 1 else path
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError
