"""When a runner looks at the queue again: now and then, sooner while it has nothing to take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SECONDS = 5.0
"""Between two looks at what other runners did."""
SHORTEST = 0.5
"""The same while nothing waits, for a start; twice as long after each look that finds nothing."""


@dataclass(slots=True)
class Looks:
    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=-math.inf, init=False)
    _pause: float = field(default=SHORTEST, init=False)

    def due(self, *, empty: bool) -> bool:
        """`empty`: nothing waits that this runner could take."""
        return self.clock() - self._last > (self._pause if empty else SECONDS)

    def looked(self, *, empty: bool) -> None:
        """It has just looked."""
        self._last = self.clock()
        self._pause = min(2 * self._pause, SECONDS) if empty else SHORTEST

    def at_once(self) -> None:
        """Something has ended: more may wait now."""
        self._last, self._pause = -math.inf, SHORTEST
