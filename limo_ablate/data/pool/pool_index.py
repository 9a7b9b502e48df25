"""Index of a pool's problems while it is written: a few numbers for each problem; texts stay on disk."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from limo_ablate.data.pool.schema import ParsedRow
from limo_ablate.data.pool.values import BadRow, same_gold


@dataclass(slots=True)
class Source:
    """One source of a pool."""

    number: int
    limit: int | None
    problems: int = 0

    @property
    def full(self) -> bool:
        return self.limit is not None and self.problems >= self.limit


@dataclass(slots=True)
class PoolIndex:
    """Facts about each problem, by its position in `problems.parquet`. Of texts, only hashes are kept."""

    keep_without_gold: bool = False
    positions: dict[str, int] = field(default_factory=dict)
    texts: array[int] = field(default_factory=lambda: array("q"))
    golds: array[int] = field(default_factory=lambda: array("q"))
    sources: array[int] = field(default_factory=lambda: array("H"))
    """Number of the last source that had the problem."""
    solutions: array[int] = field(default_factory=lambda: array("l"))
    right: array[float] = field(default_factory=lambda: array("d"))
    tries: array[float] = field(default_factory=lambda: array("d"))

    def position(self, entry: ParsedRow, source: Source) -> int | None:
        """Position of the row's problem, which may be new; None if it is beyond the source's limit."""
        known = self.positions.get(entry.problem["id"])
        if known is None and entry.problem["gold"] is None and not self.keep_without_gold:
            raise BadRow("solution: states no gold answer (no whole \\boxed{}, no #### in its last line)")
        if known is not None:
            self._check_same(entry, known)
            if self.sources[known] == source.number:
                return known
        if source.full:
            return None
        source.problems += 1
        if known is None:
            return self._add(entry, source)
        self.sources[known] = source.number
        return known

    def _check_same(self, entry: ParsedRow, known: int) -> None:
        """Checks text and gold answer against the known ones; a gold answer stated by a solution may
        differ."""
        name = f"problem {entry.problem['id']} is there already with another"
        if self.texts[known] != hash(entry.asked):
            raise BadRow(f"{name} text")
        if not entry.stated and self.golds[known] != hash(same_gold(entry.problem["gold"])):
            raise BadRow(f"{name} gold answer")

    def _add(self, entry: ParsedRow, source: Source) -> int:
        position = self.positions[entry.problem["id"]] = len(self.positions)
        self.texts.append(hash(entry.asked))
        self.golds.append(hash(same_gold(entry.problem["gold"])))
        self.sources.append(source.number)
        self.solutions.append(0)
        self.right.append(0)
        self.tries.append(0)
        return position

    def add_tries(self, position: int, right: float, tries: float) -> None:
        self.right[position] += right
        self.tries[position] += tries

    def next_solution(self, position: int) -> int:
        """The number of a problem's next solution, from 0."""
        number = self.solutions[position]
        self.solutions[position] += 1
        return number

    def pass_rates(self) -> list[float | None]:
        return [
            round(right / tries, 12) if tries else None
            for right, tries in zip(self.right, self.tries, strict=True)
        ]
