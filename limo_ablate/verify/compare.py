"""Whether two parsed answers are the same answer: by their structure, down to scalars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from limo_ablate.verify.blocks import as_unit_vectors, rows_of, same_brackets, scaled
from limo_ablate.verify.limits import MAX_MATCHES
from limo_ablate.verify.nodes import (
    Cases,
    Group,
    Listing,
    Logic,
    Matrix,
    Node,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    divide,
)
from limo_ablate.verify.normalize import all_groups, essential, items_of, member_of, values_of
from limo_ablate.verify.outcome import Outcome, different, every, same, unknown
from limo_ablate.verify.quantities import equal_quantities
from limo_ablate.verify.realset import equal_sets, is_set, real_set
from limo_ablate.verify.relations import assigned, equal_assignments, equal_relations, value_of_identity
from limo_ablate.verify.scalar import equal
from limo_ablate.verify.signs import has_signs, readings_of_signs
from limo_ablate.verify.verbal import compare_times, compare_words


@dataclass(frozen=True, slots=True)
class Comparison:
    """`strict` takes no rounded decimal for an exact value."""

    strict: bool = False

    def __call__(self, gold: Node, answer: Node) -> Outcome:
        if gold == answer:
            return same("identical")
        gold, answer = essential(gold), essential(answer)
        for rule in (
            compare_words,
            compare_times,
            self._signs,
            self._assignments,
            self._sets,
            self._lists,
            self._tuples,
        ):
            outcome = rule(gold, answer)
            if outcome is not None:
                return outcome
        return self._others(gold, answer)

    def _signs(self, gold: Node, answer: Node) -> Outcome | None:
        """Plus-minus is a set of two; in a tuple its signs may be read together or apart."""
        if not (has_signs(gold) or has_signs(answer)):
            return None
        outcome = different("plus-minus", "not the same values")
        for g, a in product(readings_of_signs(gold), readings_of_signs(answer)):
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
        g, a = values_of(gold), values_of(answer)
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
        g_inner, a_inner = member_of(gold), member_of(answer)
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
            if isinstance(one, Group) and isinstance(other, Listing) and not all_groups(other.items):
                ordered = self._ordered(one.items, other.items)
                return (
                    ordered
                    if ordered.equal or one.open != "["
                    else self._unordered(one.items, other.items, False)
                )
        rule_of_sets = isinstance(gold, SetOf) or isinstance(answer, SetOf)
        return self._unordered(items_of(gold), items_of(answer), rule_of_sets)

    def _tuples(self, gold: Node, answer: Node) -> Outcome | None:
        """Points, vectors, matrices, intervals with letters at their ends."""
        gold, answer = scaled(gold), scaled(answer)
        g, a = rows_of(gold), rows_of(answer)
        if g is None and a is None:
            return None
        if (g is None) != (a is None) and (sums := as_unit_vectors(gold, answer)):
            return equal(*sums)
        if g is None or a is None:
            return different("tuple", "several values against one")
        if isinstance(gold, Group) and isinstance(answer, Group) and not same_brackets(gold, answer):
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
