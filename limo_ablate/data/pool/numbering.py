"""Whether options are numbered from 0 or from 1, where answers are positions.

A single position can't tell: 4 of 4 options is the last one of a file that is numbered from 1, or a mistake
in one that is numbered from 0. The first rows of the file decide, or nothing does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import MultipleChoice
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row
from limo_ablate.data.pool.options import OtherNumbering, read_options
from limo_ablate.data.pool.values import BadRow


def told(row: Row, fields: FieldsConfig) -> MultipleChoice | None:
    """The row's options and which is right; None where that can't be told."""
    try:
        return read_options(row, "", fields)
    except (BadRow, OtherNumbering):
        return None


def numbered(rows: Callable[[], Iterable[Row]], fields: FieldsConfig) -> FieldsConfig:
    """The fields with the number of the first option, where that is `auto`.

    Raises UserError where answers are positions, and the rows don't say from which number.
    """
    if fields.options is None or fields.first_option != "auto":
        return fields
    first, second = (replace(fields, first_option=number) for number in (0, 1))
    sample = list(rows())
    settled = [way for way in (first, second) if is_settled(sample, way)]
    if len(settled) == 1:
        return settled[0]
    if all(told(row, first) == told(row, second) for row in sample):
        return first  # no answer is a position
    raise UserError(
        f"{fields.answer}: its numbers may be positions of options from 0 or from 1, and none of the first "
        f"{len(sample)} rows says which; set fields.first_option to 0 or 1, or to null if they are "
        "options' texts"
    )


def is_settled(rows: Iterable[Row], fields: FieldsConfig) -> bool:
    """Whether rows show that options are numbered from `fields.first_option`, and single rows are wrong.

    That is so where some rows have a position that only this numbering has, and those that only the other
    has are at most half as frequent as the positions between. A file in which 0 stands for a hidden answer
    is thus not taken for one that is numbered from 0.
    """
    if fields.first_option not in (0, 1):
        return False
    other = replace(fields, first_option=0 if fields.first_option else 1)
    ours, others, between = 0, 0, 0
    for row in rows:
        here, there = told(row, fields), told(row, other)
        if here and there:
            between += here.right != there.right
        elif here:
            ours += 1
        elif there:
            others += 2 * (len(there.options) - 1)
    return ours > 0 and others <= between
