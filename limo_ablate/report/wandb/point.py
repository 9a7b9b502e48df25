"""Runs one trial for `wandb agent`, with overrides in one parameter, for designs that a W&B grid can't
express.

python -m limo_ablate.report.wandb.point model=mini_m "point=select.size=64 select.quality=L5" seed=1
"""

from __future__ import annotations

import shlex
import sys

from limo_ablate.core.command import run
from limo_ablate.trial.cli import trial

PARAMETER = "point"


def overrides(arguments: list[str]) -> list[str]:
    """The arguments, with the point replaced by its overrides."""
    expanded = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        expanded += shlex.split(value) if key == PARAMETER else [argument]
    return expanded


if __name__ == "__main__":
    sys.exit(run(trial, overrides(sys.argv[1:])))
