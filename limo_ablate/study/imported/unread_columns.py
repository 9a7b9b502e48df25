"""Tables of which a column that is not read numbers trainings, or names what is to be compared: taken for
samples of one training, their rows would give intervals that are too narrow, and means over arms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.study.imported.logs import Reading

Row = dict[str, Any]
SAMPLE = "sample"
"""Part of the names of columns that number samples."""
TRAININGS = {"seed", "run", "trial", "replicate", "replica", "rep", "training", "checkpoint"}
"""Words in the names of columns that number trainings."""


def check_unread(rows: Sequence[tuple[str, Row]], reading: Reading, item: str, score: str) -> None:
    """Raises UserError where rows of the same item differ in a column that is not read, if its name says
    that it numbers trainings, or if every item has the same values in it, each equally often.

    `rows`: (location, row)."""
    if reading.sample is not None or not rows:
        return
    keys = [name for name in (item, reading.benchmark, reading.seed, *reading.columns) if name in rows[0][1]]
    by_item: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for where, row in rows:
        by_item.setdefault(tuple(str(row.get(key)) for key in keys), []).append((where, row))
    for column in rows[0][1]:
        if column in (*keys, score) or SAMPLE in column.lower():
            continue
        values = [Counter(str(row.get(column)) for _, row in own) for own in by_item.values()]
        named = TRAININGS & set(re.split(r"[^a-z]+", column.lower()))
        differing = [place for place, counts in enumerate(values) if len(counts) > 1]
        alike = _same_for_all(values) and not _is_score(rows, column, score)
        if differing and (named or alike):
            where = list(by_item.values())[differing[0]][1][0]
            raise UserError(
                f"{where}: an item is there with several values in the column {column}, which is not read; "
                f"set `seed: {column}` where these are trainings, `columns: [{column}]` where they are "
                f"compared, or `sample: {column}` where they are samples of one training"
            )


def _same_for_all(values: Sequence[Counter[str]]) -> bool:
    return len(values) > 1 and all(counts == values[0] for counts in values)


def _is_score(rows: Sequence[tuple[str, Row]], column: str, score: str) -> bool:
    """Whether the column is the score again, such as `correct` beside it."""
    pairs = {(str(row.get(column)), str(row.get(score))) for _, row in rows}
    return len(pairs) == len({value for value, _ in pairs}) == len({value for _, value in pairs})
