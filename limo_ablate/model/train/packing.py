"""Packs rows of different lengths into forward passes of limited size, for several processes."""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], limit: int, processes: int) -> list[list[int]]:
    """Bins of indices into `lengths`, the same number for each of the `processes`, the fullest first.

    No bin has more than `limit` tokens, unless it holds a single row. Best-fit decreasing determines the
    number of bins, which is rounded up to a multiple of `processes`; they are filled evenly if possible. If
    there are fewer rows than processes, some bins are empty.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    fewest = _best_fit(order, lengths, limit)
    count = -(-len(fewest) // processes) * processes
    bins = _spread(order, lengths, limit, count) or fewest + [[] for _ in range(count - len(fewest))]
    return sorted(bins, key=lambda places: -sum(lengths[place] for place in places))


def _best_fit(order: list[int], lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Puts each row, longest first, into the fullest bin that has room for it."""
    bins: list[list[int]] = []
    room: list[int] = []
    for place in order:
        length = lengths[place]
        fitting = [number for number, left in enumerate(room) if left >= length]
        if fitting:
            number = min(fitting, key=room.__getitem__)
            bins[number].append(place)
            room[number] -= length
        else:
            bins.append([place])
            room.append(limit - length)
    return bins


def _spread(order: list[int], lengths: Sequence[int], limit: int, count: int) -> list[list[int]] | None:
    """Puts each row, longest first, into the emptiest of `count` bins; None if one would overflow."""
    bins: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for place in order:
        number = min(range(count), key=loads.__getitem__)
        if bins[number] and loads[number] + lengths[place] > limit:
            return None
        bins[number].append(place)
        loads[number] += lengths[place]
    return bins
