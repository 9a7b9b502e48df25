"""A training of two ranks on the two machines of a Slurm job: `slurm_ranks.py FOLDER`."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.train.launch import train
from tests.tiny_models import TRAIN, TWO_RANKS, made_base, made_tokens


def main(root: Path) -> None:
    """Notes each step; says how it ended."""

    def note(row: dict[str, Any]) -> None:
        with (root / "steps").open("a") as file:
            file.write(f"{row['step']}\n")

    store = Store(root / "artifacts")
    base = made_base(store)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        config = replace(TRAIN, steps=100_000)
        train(store, made_tokens(store, base), base, config, replace(TWO_RANKS, nodes=2), note)
    except TrialFailure as error:
        print(f"{type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
