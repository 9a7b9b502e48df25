"""Tuples, vectors and matrices as rows of entries."""

from __future__ import annotations

from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.nodes import (
    Add,
    Constant,
    Group,
    Matrix,
    Mul,
    Node,
    Number,
    Power,
    Symbol,
    rebuild,
    symbols,
)

_UNIT_VECTORS = ("i", "j", "k")


_ACCENTED = {f"{accent} {name}": Symbol(name) for accent in ("hat", "vec") for name in _UNIT_VECTORS}


def as_unit_vectors(gold: Node, answer: Node) -> tuple[Node, Node] | None:
    """3i + 4j and <3, 4>, both as sums of i, j, k; None if a sum has other letters."""
    sums = []
    for node in (gold, answer):
        rows = rows_of(node)
        if rows is None:
            form = _plain(node)
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


def plain_unit_vectors(gold: Node, answer: Node) -> tuple[Node, Node] | None:
    """3i + 4j with its unit vectors in one font; None if neither side has accents."""
    if not (symbols(gold) | symbols(answer)) & set(_ACCENTED):
        return None
    return _plain(gold), _plain(answer)


def _plain(node: Node) -> Node:
    def change(part: Node) -> Node:
        if part == Constant("i"):
            return Symbol("i")
        return _ACCENTED.get(part.name, part) if isinstance(part, Symbol) else part

    return rebuild(node, change)


def computed(node: Node) -> Node:
    """Sums, multiples, products and powers of vectors and matrices as one vector or matrix."""
    match node:
        case Power(base=base, exponent=exponent):
            block = computed(base)
            if exponent == Symbol("T"):
                if isinstance(block, Matrix):
                    return Matrix(tuple(zip(*block.rows, strict=True)))
                return block if isinstance(block, Group) else node
            return _power(block, exponent) if isinstance(block, Matrix) else node
        case Mul(factors=factors):
            return _product(list(map(computed, factors))) or node
        case Add(terms=terms):
            return _sum(list(map(computed, terms))) or node
    return node


def _sum(blocks: list[Node]) -> Node | None:
    first = blocks[0]
    if isinstance(first, Matrix):
        sizes = [[len(row) for row in block.rows] for block in blocks if isinstance(block, Matrix)]
        if len(sizes) != len(blocks) or any(size != sizes[0] for size in sizes):
            return None
        rows = zip(*(block.rows for block in blocks if isinstance(block, Matrix)), strict=True)
        return Matrix(tuple(tuple(map(Add, zip(*row, strict=True))) for row in rows))
    groups = [block for block in blocks if isinstance(block, Group)]
    shapes = {(group.open, len(group.items), group.close) for group in groups}
    if len(groups) == len(blocks) and len(shapes) == 1:
        items = zip(*(group.items for group in groups), strict=True)
        return Group(groups[0].open, tuple(map(Add, items)), groups[0].close)
    return None


def _product(factors: list[Node]) -> Node | None:
    """One vector or matrix, or several matrices, times numbers; None for anything else."""
    blocks = [factor for factor in factors if isinstance(factor, (Matrix, Group))]
    rest = tuple(factor for factor in factors if not isinstance(factor, (Matrix, Group)))
    if not blocks:
        return None
    block: Matrix | Group = blocks[0]
    for other in blocks[1:]:
        if not isinstance(block, Matrix) or not isinstance(other, Matrix):
            return None
        product = _times(block, other)
        if product is None:
            return None
        block = product
    if not rest:
        return block
    if isinstance(block, Matrix):
        return Matrix(tuple(tuple(Mul((*rest, entry)) for entry in row) for row in block.rows))
    return Group(block.open, tuple(Mul((*rest, item)) for item in block.items), block.close)


MAX_PRODUCT = 1_000
"""Multiplications of a product of matrices."""


def _times(left: Matrix, right: Matrix) -> Matrix | None:
    columns = list(zip(*right.rows, strict=True))
    check_time()
    if not left.rows or len(left.rows[0]) != len(right.rows):
        return None
    if len(left.rows) * len(columns) * len(right.rows) > MAX_PRODUCT:
        raise LimitReached(f"a product of matrices with more than {MAX_PRODUCT} multiplications")
    return Matrix(
        tuple(
            tuple(Add(tuple(Mul(pair) for pair in zip(row, column, strict=True))) for column in columns)
            for row in left.rows
        )
    )


MAX_POWER = 4
"""Higher powers of a matrix are left as they are: their entries would be trees that double each time."""


def _power(block: Matrix, exponent: Node) -> Node:
    times = exponent.value if isinstance(exponent, Number) else 0
    result = block
    if times not in range(1, MAX_POWER + 1):
        return Power(block, exponent)
    for _ in range(int(times) - 1):
        product = _times(result, block)
        if product is None:
            return Power(block, exponent)
        result = product
    return result


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
        return (gold.open in "[") == (gold.close in "]") and (answer.open in "[") == (answer.close in "]")
    return (gold.open, gold.close) == (answer.open, answer.close)
