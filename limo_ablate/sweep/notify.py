"""`launch.notify`: a command, or an http(s) address, is told when a sweep starts, fails and ends.

A notification is JSON: `event` (start, failure, end), `text` (one line), `study`, `folder` and facts about
the event. A command gets it on standard input and the text as its last argument; an address gets it as the
body of a POST.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from limo_ablate.core.marked_processes import RUNNER_MARK
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.live import rerun_command

TIMEOUT = 10.0
"""Seconds that a notification may take, and for which the end of a sweep waits for the last ones."""


class Notifier:
    """Tells of one sweep, from threads, so that nothing waits for an answer. Use as a context."""

    def __init__(self, target: str | Sequence[str] | None, folder: Path, say: Callable[[str], None]) -> None:
        """`target`: launch.notify; `say` prints a line where a notification fails."""
        self.exit_code = 0
        """What the sweep ends with, to be set before the context is left without an exception."""
        self._target, self._folder, self._say = target, folder, say
        self._queue: Queue | None = None
        self._threads: list[threading.Thread] = []
        # without the mark by which a runner ends all that it has started
        self._environment = {name: value for name, value in os.environ.items() if name != RUNNER_MARK}

    def start(self, queue: Queue) -> None:
        """The sweep has something to run."""
        self._queue = queue
        left = queue.total - queue.done - len(queue.given_up)
        self._send("start", f"sweep starts: {queue.total} trials, {queue.done} finished, {left} to do")

    def failure(self, trial_id: str, reason: str) -> None:
        """The first failure for this reason."""
        trial = next((one for one in self._queue.trials if one.id == trial_id), None) if self._queue else None
        if trial:
            text = f"{trial.name} failed: {reason.splitlines()[0] if reason else reason}"
            folder = self._folder / "trials" / trial.folder
            about = {"trial": trial.name, "reason": reason, "trial_folder": str(folder)}
            self._send("failure", text, **about, rerun=rerun_command(trial))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._queue is None:
            return
        code = self.exit_code
        if error is not None:
            code = EXIT_USER_ERROR if isinstance(error, UserError) else 1
        queue = self._queue
        counts = {"finished": queue.done, "failed": len(queue.given_up)}
        counts["not_finished"] = queue.total - queue.done - len(queue.given_up)
        how = "was interrupted" if code == EXIT_INTERRUPTED else f"ends with exit code {code}"
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        self._send("end", f"sweep {how}: {told}", **counts, exit_code=code)
        deadline = time.monotonic() + TIMEOUT + 1
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _send(self, event: str, text: str, **about: Any) -> None:
        if not self._target:
            return
        study = self._folder.name
        message = {"event": event, "text": f"{study}: {text}", "study": study, "folder": str(self._folder)}
        thread = threading.Thread(target=self._deliver, args=(self._target, message | about), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _deliver(self, target: str | Sequence[str], message: dict[str, Any]) -> None:
        try:
            if isinstance(target, str) and is_address(os.path.expandvars(target)):
                _post(os.path.expandvars(target), message)
            else:
                _call(command_of(target), message, self._environment)
        except Exception as error:  # whatever it is, it must not harm the sweep
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._say(f"launch.notify: the notification of the {message['event']} failed: {masked(why)}")


def is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def command_of(target: str | Sequence[str]) -> list[str]:
    """The words of a command; variables of the environment are replaced. Raises ValueError."""
    words = shlex.split(target) if isinstance(target, str) else target
    return [os.path.expandvars(word) for word in words]


def _post(address: str, message: dict[str, Any]) -> None:
    import urllib.request
    from http.client import InvalidURL

    headers = {"Content-Type": "application/json", "User-Agent": "limo-ablate"}
    request = urllib.request.Request(address, json.dumps(message).encode(), headers, method="POST")  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT).close()  # noqa: S310
    except InvalidURL as error:  # its text has a part of the address, such as a password
        raise ValueError("not an address: it needs a host, and can't have a user") from error


def _call(command: list[str], message: dict[str, Any], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*command, message["text"]], input=json.dumps(message), env=environment, text=True,
        capture_output=True, timeout=TIMEOUT, start_new_session=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = "".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        raise RuntimeError(f"{command[0]} ended with exit code {done.returncode} {last}".rstrip())
