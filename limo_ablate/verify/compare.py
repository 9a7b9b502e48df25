"""Whether two parsed answers are the same answer: by their structure, down to scalars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from limo_ablate.verify.limits import MAX_MATCHES
from limo_ablate.verify.nodes import (
    ZERO,
    Add,
    Cases,
    Clock,
    Constant,
    Date,
    Group,
    Listing,
    Logic,
    Matrix,
    Mul,
    Node,
    PlusMinus,
    Power,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    Words,
    children,
    divide,
    negate,
    symbols,
)
from limo_ablate.verify.outcome import Outcome, different, every, same, unknown
from limo_ablate.verify.quantities import equal_quantities
from limo_ablate.verify.realset import equal_sets, is_set, real_set
from limo_ablate.verify.relations import assigned, equal_assignments, equal_relations, value_of_identity
from limo_ablate.verify.rewrite import rebuild
from limo_ablate.verify.scalar import equal

MAX_SIGNS = 4
"""Plus-minus signs that are read independently: sixteen combinations."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`strict` takes no rounded decimal for an exact value."""

    strict: bool = False

    def __call__(self, gold: Node, answer: Node) -> Outcome:
        if gold == answer:
            return same("identical")
        gold, answer = _essential(gold), _essential(answer)
        for rule in (_words, _times, self._signs, self._assignments, self._sets, self._lists, self._tuples):
            outcome = rule(gold, answer)
            if outcome is not None:
                return outcome
        return self._others(gold, answer)

    def _signs(self, gold: Node, answer: Node) -> Outcome | None:
        """Plus-minus is a set of two; in a tuple its signs may be read together or apart."""
        if not (_has_signs(gold) or _has_signs(answer)):
            return None
        outcome = different("plus-minus", "not the same values")
        for g, a in product(_readings_of_signs(gold), _readings_of_signs(answer)):
            outcome = self(g, a)
            if outcome.equal:
                return Outcome(True, "plus-minus")
        return outcome

    def _assignments(self, gold: Node, answer: Node) -> Outcome | None:
        """x = 5 against 5, f(x) = 2x against y = 2x, (3, -1) against x = 3, y = -1."""
        if (points := self._point(gold, answer)) is not None:
            return points
        g, a = assigned(gold), assigned(answer)
        if g and a:
            values = equal_assignments(g, a)
            if values is None:
                return equal_relations(gold, answer)  # type: ignore[arg-type]
            outcome = self(*values)
            if outcome.equal or not (isinstance(gold, Relation) and isinstance(answer, Relation)):
                return outcome
            return equal_relations(gold, answer) if g[0] == a[0] and len(gold.operands) == 2 else outcome
        if g and not isinstance(answer, (Relation, Logic)):
            return self(g[1], answer)
        if a and not isinstance(gold, (Relation, Logic)):
            return self(gold, a[1])
        if (
            isinstance(answer, Relation)
            and not isinstance(gold, Relation)
            and (value := value_of_identity(answer))
        ):
            return self(gold, value)
        if (
            isinstance(gold, Relation)
            and not isinstance(answer, Relation)
            and (value := value_of_identity(gold))
        ):
            return self(value, answer)
        return None

    def _point(self, gold: Node, answer: Node) -> Outcome | None:
        """Several letters, each with its value, are a point; their order is the alphabet's."""
        g, a = _values(gold), _values(answer)
        if g and a:
            if set(g) != set(a):
                return different("tuple", "not the same letters")
            return every((self(g[name], a[name]) for name in g), "tuple")
        if g and isinstance(answer, (Group, Listing)):
            return self._ordered([g[name] for name in sorted(g)], answer.items)
        if a and isinstance(gold, (Group, Listing)):
            return self._ordered(gold.items, [a[name] for name in sorted(a)])
        return None

    def _sets(self, gold: Node, answer: Node) -> Outcome | None:
        """Sets of reals; x in S against S."""
        if not (is_set(gold) or is_set(answer)):
            return None
        g, a = real_set(gold), real_set(answer)
        if g is not None and a is not None:
            return equal_sets(g, a)
        g_inner, a_inner = _member_of(gold), _member_of(answer)
        if (g_inner, a_inner) != (gold, answer):
            return self(g_inner, a_inner)
        if (
            (g is None) != (a is None)
            and not isinstance(gold, (Relation, Logic))
            and isinstance(answer, Group)
        ):
            return None
        return None

    def _lists(self, gold: Node, answer: Node) -> Outcome | None:
        """Lists and sets, in any order; a set may repeat itself, a list of answers may not."""
        if not isinstance(gold, (SetOf, Listing)) and not isinstance(answer, (SetOf, Listing)):
            return None
        for one, other in ((gold, answer), (answer, gold)):
            if isinstance(one, Group) and isinstance(other, SetOf) and len(one.items) > 1:
                return different("set", "a tuple against a set")
            if isinstance(one, Group) and isinstance(other, Listing) and not _all_groups(other.items):
                ordered = self._ordered(one.items, other.items)
                return (
                    ordered
                    if ordered.equal or one.open != "["
                    else self._unordered(one.items, other.items, False)
                )
        rule_of_sets = isinstance(gold, SetOf) or isinstance(answer, SetOf)
        return self._unordered(_items(gold), _items(answer), rule_of_sets)

    def _tuples(self, gold: Node, answer: Node) -> Outcome | None:
        """Points, vectors, matrices, intervals with letters at their ends."""
        gold, answer = _scaled(gold), _scaled(answer)
        g, a = _rows(gold), _rows(answer)
        if g is None and a is None:
            return None
        if (g is None) != (a is None) and (sums := _as_unit_vectors(gold, answer)):
            return equal(*sums)
        if g is None or a is None:
            return different("tuple", "several values against one")
        if isinstance(gold, Group) and isinstance(answer, Group) and not _same_brackets(gold, answer):
            return different("interval", "not the same brackets")
        vectors = isinstance(gold, Group) != isinstance(answer, Group)
        if vectors and 1 in (len(g), len(g[0]) if g else 1) and 1 in (len(a), len(a[0]) if a else 1):
            g, a = [[x for row in g for x in row]], [[x for row in a for x in row]]
        if [len(row) for row in g] != [len(row) for row in a]:
            return different("matrix" if isinstance(gold, Matrix) else "tuple", "not the same shape")
        pairs = ((x, y) for g_row, a_row in zip(g, a, strict=True) for x, y in zip(g_row, a_row, strict=True))
        return every((self(x, y) for x, y in pairs), "matrix" if isinstance(gold, Matrix) else "tuple")

    def _others(self, gold: Node, answer: Node) -> Outcome:
        if isinstance(gold, Relation) and isinstance(answer, Relation):
            return equal_relations(gold, answer)
        match gold, answer:
            case (SetOperation() | Logic(), SetOperation() | Logic()) if gold.operator == answer.operator:
                if gold.operator == "setminus":
                    return self._ordered(gold.parts, answer.parts)
                return self._unordered(gold.parts, answer.parts, True)
            case Cases(), Cases():
                return self._cases(gold, answer)
        if isinstance(gold, Ratio) or isinstance(answer, Ratio):
            return _ratios(gold, answer)
        structured = (Relation, Logic, SetOperation, Cases, Group)
        if isinstance(gold, structured) or isinstance(answer, structured):
            return different("kind", f"{_kind(gold)} against {_kind(answer)}")
        return equal_quantities(gold, answer, strict=self.strict)

    def _cases(self, gold: Cases, answer: Cases) -> Outcome:
        """The same pieces, in any order; "otherwise" is whatever is left."""
        left = list(answer.pieces)
        for value, condition in gold.pieces:
            found = next(
                (
                    piece
                    for piece in left
                    if self(value, piece[0]).equal
                    and (Symbol("otherwise") in (condition, piece[1]) or self(condition, piece[1]).equal)
                ),
                None,
            )
            if found is None:
                return different("cases", "not the same pieces")
            left.remove(found)
        return different("cases", "more pieces") if left else same("cases")

    def _ordered(
        self, gold: Iterator[Node] | tuple[Node, ...] | list[Node], answer: tuple[Node, ...] | list[Node]
    ) -> Outcome:
        g = list(gold)
        if len(g) != len(answer):
            return different("tuple", f"{len(g)} values against {len(answer)}")
        return every((self(x, y) for x, y in zip(g, answer, strict=True)), "tuple")

    def _unordered(self, gold: tuple[Node, ...], answer: tuple[Node, ...], as_set: bool) -> Outcome:
        """Every item has its own partner; in a set, items that are equal count once."""
        rule = "set" if as_set else "list"
        if as_set:
            gold, answer = self._distinct(gold), self._distinct(answer)
        if len(gold) != len(answer):
            return different(rule, f"{len(gold)} values against {len(answer)}")
        if len(gold) * len(answer) > MAX_MATCHES and gold != answer:
            ordered = self._ordered(gold, answer)
            return ordered if ordered.equal else unknown("limit", f"more than {MAX_MATCHES} comparisons")
        left, undecided = list(answer), None
        for item in gold:
            for place, other in enumerate(left):
                outcome = self(item, other)
                if outcome.equal:
                    del left[place]
                    break
                undecided = outcome if outcome.equal is None else undecided
            else:
                return undecided or different(rule, "an item has no partner")
        return same(rule)

    def _distinct(self, items: tuple[Node, ...]) -> tuple[Node, ...]:
        kept: list[Node] = []
        for item in items:
            if item not in kept and (len(items) > 20 or not any(self(item, other).equal for other in kept)):
                kept.append(item)
        return tuple(kept)


def _words(gold: Node, answer: Node) -> Outcome | None:
    if not isinstance(gold, Words) and not isinstance(answer, Words):
        return None
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Words) and one.text == "no solution" and other == SetOf(()):
            return same("words")
    if isinstance(gold, Words) and isinstance(answer, Words):
        g, a = gold.text.split(), answer.text.split()
        if sorted(g) == sorted(a) and "and" in g:
            return same("words")
        verdicts = {"yes", "no", "true", "false"}
        if g == a or (g and a and g[0] == a[0] and g[0] in verdicts and 1 in (len(g), len(a))):
            return same("words")
    return different("words", "not the same words")


def _times(gold: Node, answer: Node) -> Outcome | None:
    """2:00 PM and 14:00; a half of the day or a year that only one names is no difference."""
    if isinstance(gold, Clock) and isinstance(answer, Clock):
        halves = {gold.half, answer.half} - {None}
        if len(halves) < 2 and gold.minutes == answer.minutes:
            return same("time")
        equal_times = gold.half != answer.half and _daytime(gold) == _daytime(answer)
        return same("time") if equal_times else different("time", "not the same time")
    if isinstance(gold, Date) and isinstance(answer, Date):
        years = {gold.year, answer.year} - {None}
        same_day = (gold.month, gold.day) == (answer.month, answer.day)
        return same("date") if same_day and len(years) < 2 else different("date", "not the same date")
    if isinstance(gold, (Clock, Date)) or isinstance(answer, (Clock, Date)):
        return different("time", "a time against something else")
    return None


def _daytime(clock: Clock) -> Fraction:
    if clock.half is None:
        return clock.minutes % 1440
    return clock.minutes % 720 + (720 if clock.half == "pm" else 0)


def _essential(node: Node) -> Node:
    """`node` without approximations behind it and remarks on what a letter ranges over."""
    if isinstance(node, Logic) and node.operator == "and":
        bounded = {
            name for part in node.parts if not _remark(part) and _inequality(part) for name in symbols(part)
        }
        kept = tuple(part for part in node.parts if not _remark(part) or symbols(part) & bounded)
        if len(kept) == 1:
            return _without_approximation(kept[0])
        return Listing(kept) if kept and not any(map(_inequality, kept)) else node
    return _without_approximation(node)


def _inequality(node: Node) -> bool:
    return isinstance(node, Logic) or (
        isinstance(node, Relation) and any(op in ("<", ">", "<=", ">=", "!=", "in") for op in node.operators)
    )


def _without_approximation(node: Node) -> Node:
    """2 sqrt(3) = ... ~ 3.46: what stands before the approximation."""
    if isinstance(node, Relation) and "approx" in node.operators:
        at = node.operators.index("approx")
        if at == 0:
            lone = isinstance(node.operands[0], Symbol)
            return Relation(node.operands[:2], ("=",)) if lone else node.operands[0]
        return Relation(node.operands[: at + 1], node.operators[:at])
    return node


def _has_signs(node: Node) -> bool:
    return isinstance(node, PlusMinus) or any(map(_has_signs, children(node)))


def _readings_of_signs(node: Node) -> list[Node]:
    """`node` without plus-minus: its values as a list, signs taken together, and each by itself in a tuple."""
    if not _has_signs(node):
        return [node]
    if isinstance(node, (Listing, SetOf)):
        return [
            type(node)(tuple(value for item in node.items for value in _items(_readings_of_signs(item)[0])))
        ]
    together = Listing(tuple(_choose(node, sign) for sign in (1, -1)))
    signed = [item for item in children(node) if _has_signs(item)]
    if isinstance(node, Group) and 1 < len(signed) <= MAX_SIGNS:
        options = [
            _items(_readings_of_signs(item)[0]) if _has_signs(item) else (item,) for item in node.items
        ]
        return [
            together,
            Listing(tuple(Group(node.open, chosen, node.close) for chosen in product(*options))),
        ]
    return [together]


def _choose(node: Node, sign: int) -> Node:
    def pick(part: Node) -> Node:
        if not isinstance(part, PlusMinus):
            return part
        right = part.right if sign * part.first > 0 else negate(part.right)
        return right if part.left == ZERO else Add((part.left, right))

    return rebuild(node, pick)


def _items(node: Node) -> tuple[Node, ...]:
    """The answers of a list, without remarks on which numbers a letter ranges over."""
    if isinstance(node, (SetOf, Listing)):
        kept = tuple(item for item in node.items if not _remark(item))
        return kept or node.items
    return (node,)


_NUMBER_SETS = frozenset(("Reals", "Integers", "Naturals", "Rationals", "Complexes"))


def _remark(node: Node) -> bool:
    return (
        isinstance(node, Relation)
        and node.operators == ("in",)
        and any(
            isinstance(part, Symbol) and part.name.split("_")[0].split("^")[0] in _NUMBER_SETS
            for part in node.operands[1:]
        )
    )


def _values(node: Node) -> dict[str, Node] | None:
    """{x: 3, y: -1} from x = 3, y = -1; None unless there are several different letters."""
    match node:
        case Relation(operands=(Group(items=letters), Group(items=values)), operators=("=",)):
            if len(letters) == len(values) and all(isinstance(letter, Symbol) for letter in letters):
                node = Listing(tuple(Relation(pair, ("=",)) for pair in zip(letters, values, strict=True)))
    parts = node.items if isinstance(node, Listing) else node.parts if isinstance(node, Logic) else ()
    found = [assigned(part) for part in parts]
    names = {item[0] for item in found if item}
    if len(found) < 2 or None in found or len(names) != len(found):
        return None
    return {item[0]: item[1] for item in found if item}


def _member_of(node: Node) -> Node:
    if isinstance(node, Relation) and node.operators == ("in",) and isinstance(node.operands[0], Symbol):
        return node.operands[1]
    return node


def _all_groups(items: tuple[Node, ...]) -> bool:
    return all(isinstance(item, Group) for item in items)


_UNIT_VECTORS = ("i", "j", "k")
_ACCENTED = {f"{accent} {name}": Symbol(name) for accent in ("hat", "vec") for name in _UNIT_VECTORS}


def _as_unit_vectors(gold: Node, answer: Node) -> tuple[Node, Node] | None:
    """3i + 4j against <3, 4>: both as sums of i, j, k; None where the sum has other letters."""
    found = []
    for node in (gold, answer):
        rows = _rows(node)
        if rows is None:
            form = rebuild(node, lambda part: Symbol("i") if part == Constant("i") else part)
            form = rebuild(
                form, lambda part: _ACCENTED.get(part.name, part) if isinstance(part, Symbol) else part
            )
            if not symbols(form) or not symbols(form) <= set(_UNIT_VECTORS):
                return None
            found.append(form)
        else:
            entries = [entry for row in rows for entry in row]
            if len(entries) not in (2, 3) or 1 not in (len(rows), len(rows[0])):
                return None
            terms = zip(entries, _UNIT_VECTORS, strict=False)
            found.append(Add(tuple(Mul((entry, Symbol(name))) for entry, name in terms)))
    return found[0], found[1]


def _scaled(node: Node) -> Node:
    """A number before a vector or matrix, multiplied into it; a transposed one, turned."""
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


def _rows(node: Node) -> list[list[Node]] | None:
    """The entries of a tuple (one row), a matrix, or a list of lists."""
    if isinstance(node, Matrix):
        return [list(row) for row in node.rows]
    if isinstance(node, Group):
        if node.items and all(isinstance(item, Group) and item.open == "[" for item in node.items):
            return [list(item.items) for item in node.items if isinstance(item, Group)]
        return [list(node.items)]
    return None


def _same_brackets(gold: Group, answer: Group) -> bool:
    if len(gold.items) != 2 or len(answer.items) != 2 or "<" in (gold.open, answer.open):
        return True
    return (gold.open, gold.close) == (answer.open, answer.close)


def _ratios(gold: Node, answer: Node) -> Outcome:
    """3:4 is 6:8 and 3/4."""
    g, a = (node.parts if isinstance(node, Ratio) else None for node in (gold, answer))
    if g and a:
        if len(g) != len(a):
            return different("ratio", "not as many parts")
        return every((equal(divide(x, g[0]), divide(y, a[0])) for x, y in zip(g, a, strict=True)), "ratio")
    return equal_quantities(gold, answer)


def _kind(node: Node) -> str:
    return {"Group": "a tuple or interval", "Relation": "a relation"}.get(
        type(node).__name__, type(node).__name__.lower()
    )
