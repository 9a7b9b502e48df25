"""Tuples, vectors and matrices as rows of entries."""

from __future__ import annotations

from limo_ablate.verify.nodes import Add, Constant, Group, Matrix, Mul, Node, Power, Symbol, rebuild, symbols

_UNIT_VECTORS = ("i", "j", "k")


_ACCENTED = {f"{accent} {name}": Symbol(name) for accent in ("hat", "vec") for name in _UNIT_VECTORS}


def as_unit_vectors(gold: Node, answer: Node) -> tuple[Node, Node] | None:
    """3i + 4j and <3, 4>, both as sums of i, j, k; None if a sum has other letters."""
    sums = []
    for node in (gold, answer):
        rows = rows_of(node)
        if rows is None:
            form = rebuild(node, lambda part: Symbol("i") if part == Constant("i") else part)
            form = rebuild(
                form, lambda part: _ACCENTED.get(part.name, part) if isinstance(part, Symbol) else part
            )
            if not symbols(form) or not symbols(form) <= set(_UNIT_VECTORS):
                return None
            sums.append(form)
        else:
            entries = [entry for row in rows for entry in row]
            if len(entries) not in (2, 3) or 1 not in (len(rows), len(rows[0])):
                return None
            terms = zip(entries, _UNIT_VECTORS, strict=False)
            sums.append(Add(tuple(Mul((entry, Symbol(name))) for entry, name in terms)))
    return sums[0], sums[1]


def multiplied_out(node: Node) -> Node:
    """A vector or matrix with the number before it multiplied in and its transpose carried out."""
    if isinstance(node, Power) and node.exponent == Symbol("T"):
        if isinstance(node.base, Matrix):
            return Matrix(tuple(zip(*node.base.rows, strict=True)))
        return node.base if isinstance(node.base, Group) else node
    if not isinstance(node, Mul):
        return node
    blocks = [factor for factor in node.factors if isinstance(factor, (Matrix, Group))]
    rest = tuple(factor for factor in node.factors if not isinstance(factor, (Matrix, Group)))
    if len(blocks) != 1:
        return node
    block = blocks[0]
    if isinstance(block, Matrix):
        return Matrix(tuple(tuple(Mul((*rest, entry)) for entry in row) for row in block.rows))
    return Group(block.open, tuple(Mul((*rest, item)) for item in block.items), block.close)


def rows_of(node: Node) -> list[list[Node]] | None:
    """The entries of a tuple (one row), a matrix, or a list of lists."""
    if isinstance(node, Matrix):
        return [list(row) for row in node.rows]
    if isinstance(node, Group):
        if node.items and all(isinstance(item, Group) and item.open == "[" for item in node.items):
            return [list(item.items) for item in node.items if isinstance(item, Group)]
        return [list(node.items)]
    return None


def have_same_brackets(gold: Group, answer: Group) -> bool:
    if len(gold.items) != 2 or len(answer.items) != 2 or "<" in (gold.open, answer.open):
        return True
    return (gold.open, gold.close) == (answer.open, answer.close)
