"""Parses LaTeX environments: matrices and piecewise definitions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from limo_ablate.verify.limits import MAX_ITEMS, LimitReached
from limo_ablate.verify.nodes import Call, Cases, Matrix, Node, NotParsed, Relation, Symbol

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser


def environment(p: Parser, name: str) -> Node:
    p.deeper()
    rows = _rows(p, name)
    p.depth -= 1
    if name in ("cases", "dcases", "array", "aligned", "rcases") and (name != "array" or p.at > 1):
        cases = _cases(rows)
        if cases is not None:
            return cases
    if len(rows) == 1 and len(rows[0]) == 1 and not name.endswith("matrix"):
        return rows[0][0]
    if name in ("vmatrix", "Vmatrix"):
        return Call("det", (Matrix(rows),))
    if not name.endswith("matrix") and name != "array":
        raise NotParsed(f"environment {name}")
    if any(len(a) != len(b) for a, b in pairwise(rows)):
        raise NotParsed("a matrix with rows of different length")
    return Matrix(rows)


def _rows(p: Parser, name: str) -> tuple[tuple[Node, ...], ...]:
    rows: list[tuple[Node, ...]] = []
    row: list[Node] = []
    bars, p.bars = p.bars, 0
    while True:
        if p.token.kind == "end":
            p.next()
            break
        if p.take("\\\\"):
            rows.append(tuple(row))
            row = []
        elif not p.take("&", ","):
            if p.token.kind == "text" and p.peek().lower().strip(" ,.") in (
                "if",
                "for",
                "when",
                "if and only if",
            ):
                p.next()
            if p.token.kind == "text" and "otherwise" in p.peek().lower():
                p.next()
                row.append(Symbol("otherwise"))
                continue
            row.append(p.expression())
        if sum(map(len, rows)) + len(row) > MAX_ITEMS:
            raise LimitReached(f"a matrix of more than {MAX_ITEMS} entries")
    p.bars = bars
    if row:
        rows.append(tuple(row))
    return tuple(rows)


def _cases(rows: tuple[tuple[Node, ...], ...]) -> Cases | None:
    conditions = [row[1] for row in rows if len(row) == 2]
    if len(conditions) != len(rows) or not all(
        isinstance(c, Relation) or c == Symbol("otherwise") for c in conditions
    ):
        return None
    return Cases(tuple((row[0], row[1]) for row in rows))
