"""One rank of a training: `python -m limo_ablate.model.train.worker JOB.json [PARENT]`, started by `ranks`.

On several machines Accelerate's launcher starts it. The rank's number comes from the environment variables
that torch's own launchers set.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from limo_ablate.model.train.managed_process import die_with

COLLECTIVE_TIMEOUT = timedelta(hours=1)
"""Longest wait of ranks for one that reads a model or a checkpoint; a dead one is noticed at once."""


def main(path: Path, parent: int) -> None:
    die_with(parent)
    import torch
    from torch import distributed

    from limo_ablate.core.typed import from_dict
    from limo_ablate.model.train.failure import write_failure
    from limo_ablate.model.train.job import TrainingJob
    from limo_ablate.model.train.loop import fine_tune
    from limo_ablate.model.train.ranks import STEPS

    job = from_dict(TrainingJob, json.loads(path.read_text()))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if job.hardware.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # On one machine the ranks meet at a file: another process could take a port after it was chosen. It is
    # no file:// URL, which has no relative paths.
    store = None
    if job.hardware.nodes == 1:
        store = distributed.FileStore(str(path.with_name("rendezvous")), world)  # type: ignore[attr-defined]
    distributed.init_process_group(
        "cuda:nccl,cpu:gloo" if job.hardware.device == "cuda" else "gloo",  # offloaded shards are on the CPU
        store=store,
        rank=rank,
        world_size=world,
        timeout=COLLECTIVE_TIMEOUT,
    )
    with path.with_name(STEPS).open("a", buffering=1) as steps:

        def on_step(row: dict[str, Any]) -> None:
            steps.write(json.dumps(row) + "\n")

        try:
            trained = fine_tune(job, on_step)
        except Exception as error:
            traceback.print_exc()
            write_failure(path.parent, rank, error)
            os._exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    # `trained` must not be collected: its destructor can deadlock with gloo's threads. So exit at once.
    assert trained is not None
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else os.getppid())
