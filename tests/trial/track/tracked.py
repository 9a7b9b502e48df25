"""Tracks one made trial as a trial's own process does, and leaves like one: by os._exit.

python -m tests.trial.track.tracked FOLDER STORE [--until STEP] [override ...]
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path

from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.track.tracker import open_tracker
from tests.made_study import curve
from tests.trial.track.made_trial import made, metrics_of

ROWS = list(curve(64, 3).iter_rows(named=True))


def main(folder: Path, store: Path, first: int, until: int, overrides: list[str]) -> None:
    """Steps from `first` on; with `until`, kill -9 at that step."""
    labels = TrialLabels(study="made", cell={"select.size": 64}, name="size64-s3")
    tracker = open_tracker(compose(["seed=3", *overrides]), labels, folder)
    for row in ROWS[first:]:
        if row["step"] == until:
            time.sleep(2)  # W&B has taken what it was told
            os.kill(os.getpid(), signal.SIGKILL)
        tracker.step(row)
    tracker.finish(metrics_of(folder), folder, made(store))
    print("finished", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    os._exit(0)
