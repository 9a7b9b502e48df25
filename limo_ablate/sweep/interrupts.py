"""Lets signals that end a runner take effect only where an interruption is safe."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

LEAVING_SECONDS = 2.0
"""How long a runner that leaves waits for a ledger that is locked or unreachable. What it could not record
there is found out by the next runner."""


class Interrupts:
    """Lets Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt only inside `window()`.

    Outside, they are held back until the next window: an exception in the middle of a write would tear the
    ledger, and one in the middle of the cleanup would leave processes behind. A SIGHUP that is ignored when
    the context is entered stays ignored, here and in all that is started. Use as a context.
    """

    def __init__(self) -> None:
        self._pending = self._open = False
        self._wait_left: float | None = None
        """Seconds of waiting that are left; None as long as this process is not leaving."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else: started by nohup
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def window(self) -> Iterator[None]:
        before, self._open = self._open, True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = before

    def pause(self, seconds: float) -> None:
        """Sleeps in a window: whoever waits for a lock has not begun to write.

        Once this process is leaving, signals no longer end a pause, but all pauses together last at most
        `LEAVING_SECONDS`; then KeyboardInterrupt is raised.
        """
        if self._wait_left is None:
            with self.window():
                time.sleep(seconds)
            return
        self._wait_left -= seconds
        if self._wait_left < 0:
            raise KeyboardInterrupt
        time.sleep(seconds)

    def leave(self) -> None:
        """Only the cleanup is left to do from now on."""
        self._wait_left = LEAVING_SECONDS

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        if number == signal.SIGHUP:
            _leave_terminal()
        if self._open:
            raise KeyboardInterrupt


def _leave_terminal() -> None:
    """Discards all further output: a write to a closed terminal would raise."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(null, descriptor)
    os.close(null)
