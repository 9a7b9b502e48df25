"""One machine of a training: `python -m limo_ablate.model.train.node COMMAND...`, started there by `nodes`.

The first line of its standard input is a JSON object of environment variables, which are on no command line.
Runs the command until it exits, or until its own standard input closes, which means that the trial's main
process has died or ends the training. Over ssh there is no other way to learn of that.

SIGTERM is ignored: Slurm sends it to every process it started itself, including the trial's main process,
which makes all ranks write a checkpoint. The command runs in a session of its own, so that no signal to this
process group ends it earlier.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from functools import partial

from limo_ablate.model.train.managed_process import die_with

POLL_SECONDS = 0.1


def main(command: list[str]) -> int:
    """Returns the command's exit status, or 1 if it was killed."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as pipe:  # reads no further than the line
        line = pipe.readline()
    if not line:
        return 1
    process = subprocess.Popen(
        command,
        env=os.environ | json.loads(line),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),
    )
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while (status := process.poll()) is None:
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1):
            process.kill()  # the ranks die with it
            process.wait()
            return 1
    return status if status >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
