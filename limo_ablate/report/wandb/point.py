"""One trial for `wandb agent`, its overrides in one parameter: what a W&B grid can't cross.

python -m limo_ablate.report.wandb.point model=mini_m "point=select.size=64 select.quality=L5" seed=1
"""

from __future__ import annotations

import shlex
import sys

from limo_ablate.core.command import run
from limo_ablate.trial.cli import trial

PARAMETER = "point"


def overrides(arguments: list[str]) -> list[str]:
    """The arguments, the point taken apart where it stands."""
    found = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        found += shlex.split(value) if key == PARAMETER else [argument]
    return found


if __name__ == "__main__":
    sys.exit(run(trial, overrides(sys.argv[1:])))
