"""What a sweep and its trials on a Ray cluster send each other, through one small actor.

A trial's task puts parts of its folder, in order; the sweep takes them. The sweep orders signals; the task
waits for them. Ray's own cancellation would end a task before it can send what its trial has left.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

WAITING = 64
"""Parts that wait to be taken, at most: a task that is faster than the sweep's disk has to wait."""
TAKE_SECONDS = 5.0
"""How long `take` waits for a part."""


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt has left Ray's queue."""

    node: str
    """Id of its node."""
    host: str
    """Name or address of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file in the attempt's folder."""

    path: str
    """Relative to the folder."""
    data: bytes
    appended: bool
    """Whether they follow what the file has already; else they replace it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt has ended, and all of its folder has been sent."""

    code: int
    reason: str | None


Item = Started | Part | Ended


class Mailbox:
    """Runs as an actor beside the sweep; the attempts are named by the sweep."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[tuple[str, Item]] = asyncio.Queue(WAITING)
        self._orders: dict[str, asyncio.Queue[int]] = defaultdict(asyncio.Queue)

    async def put(self, attempt: str, item: Item) -> None:
        await self._items.put((attempt, item))

    async def take(self) -> list[tuple[str, Item]]:
        """What has been put since the last call, after a while nothing."""
        try:
            taken = [await asyncio.wait_for(self._items.get(), TAKE_SECONDS)]
        except TimeoutError:
            return []
        while not self._items.empty():
            taken.append(self._items.get_nowait())
        return taken

    async def order(self, attempt: str, number: int) -> None:
        """Has the attempt signalled."""
        self._orders[attempt].put_nowait(number)

    async def next_order(self, attempt: str) -> int:
        """The signal for the attempt, once one is ordered; 0 when it has ended."""
        return await self._orders[attempt].get()

    async def forget(self, attempt: str) -> None:
        """The attempt has ended: nobody waits for its orders any more."""
        if attempt in self._orders:
            self._orders.pop(attempt).put_nowait(0)
