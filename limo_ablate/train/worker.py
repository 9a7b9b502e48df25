"""One rank of a training: `python -m limo_ablate.train.worker JOB.json PARENT`, started by `ranks`.

Which rank it is stands in the environment, as torch's own launchers set it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def main(path: Path, parent: int) -> None:
    _die_with(parent)
    import torch
    from torch import distributed

    from limo_ablate.train.loop import Job, fine_tune
    from limo_ablate.train.ranks import STEPS
    from limo_ablate.typed import from_dict

    job = from_dict(Job, json.loads(path.read_text()))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if job.hardware.device == "cuda":
        torch.cuda.set_device(rank)
    # They meet at a file: a port could be taken between choosing and using it.
    distributed.init_process_group(
        "nccl" if job.hardware.device == "cuda" else "gloo",
        init_method=f"file://{path.with_name('rendezvous')}",
        rank=rank,
        world_size=world,
    )
    with path.with_name(STEPS).open("a", buffering=1) as steps:

        def on_step(row: dict[str, Any]) -> None:
            steps.write(json.dumps(row) + "\n")

        trained = fine_tune(job, on_step)
    sys.stdout.flush()
    sys.stderr.flush()
    # `trained` must not be collected: its destructor can deadlock with gloo's threads. Leave without.
    assert trained is not None
    os._exit(0)


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when `parent` dies, also by kill -9 (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
