"""Compares two parsed answers by their structure, down to scalars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeGuard

from limo_ablate.verify.compare_quantities import compare_numbers, compare_ratios, equal_quantities, is_amount
from limo_ablate.verify.compare_words import compare_times, compare_words
from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import MAX_MATCHES, LimitReached
from limo_ablate.verify.nodes import (
    ELLIPSIS,
    Add,
    Builder,
    Call,
    Cases,
    Constant,
    Group,
    Listing,
    Logic,
    Matrix,
    Mul,
    Node,
    Number,
    Percent,
    Power,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    symbols,
)
from limo_ablate.verify.normalize import (
    all_groups,
    bound_letter,
    in_order,
    is_range_remark,
    items_of,
    named_list,
    named_tuple,
    normalize,
    set_of_membership,
    values_by_letter,
)
from limo_ablate.verify.plus_minus import expand_plus_minus, has_plus_minus
from limo_ablate.verify.realset import equal_sets, is_set, real_set, restrict_different_letters
from limo_ablate.verify.relations import (
    WORD,
    assignment,
    equal_relations,
    names_several,
    solves,
    value_of_identity,
    values_to_compare,
)
from limo_ablate.verify.scalar import equal, rename_letters
from limo_ablate.verify.vectors import (
    as_unit_vectors,
    computed,
    have_same_brackets,
    plain_unit_vectors,
    rows_of,
)
from limo_ablate.verify.verdict import Outcome, all_equal, different, same, undecided


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares a gold answer with an answer, rule by rule."""

    strict: bool = False
    """Whether a rounded decimal does not equal an exact value."""

    def __call__(self, gold: Node, answer: Node) -> Outcome:
        if gold == answer:
            return same("identical")
        if (numbers := compare_numbers(gold, answer)) is not None:
            return numbers
        try:
            check_time()
            if isinstance(gold, Builder) and isinstance(answer, Builder):
                builders = self._builders(gold, answer)
                if builders.equal:
                    return builders
            outcome = self._by_structure(normalize(gold), normalize(answer))
            if not outcome.equal:
                for one, other in ((gold, answer), (answer, gold)):
                    if isinstance(one, Relation) and isinstance(other, _SOLUTIONS) and solves(one, other):
                        return same("relation")
                check_time()  # parts that were not compared for want of time make nothing wrong
            return outcome
        except LimitReached as limit:
            return undecided("limit", str(limit))

    def _by_structure(self, gold: Node, answer: Node) -> Outcome:
        if is_amount(gold) and is_amount(answer):
            return self._scalars(gold, answer)
        if (outcome := compare_words(gold, answer) or compare_times(gold, answer, self)) is not None:
            return outcome
        for rule in (
            self._unions,
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
        """Plus-minus gives two values; in a tuple, signs may be read as linked or as independent."""
        if not (has_plus_minus(gold) or has_plus_minus(answer)):
            return None
        outcome = different("plus-minus", "not the same values")
        for g, a in product(expand_plus_minus(gold), expand_plus_minus(answer)):
            outcome = self(g, a)
            if outcome.equal:
                return Outcome(True, "plus-minus")
        return outcome

    def _assignments(self, gold: Node, answer: Node) -> Outcome | None:
        """x = 5 against 5, f(x) = 2x against y = 2x, (3, -1) against x = 3, y = -1."""
        if (points := self._point(gold, answer)) is not None:
            return points
        lists = named_list(gold), named_list(answer)
        if lists[0] and lists[1]:
            if lists[0][0] != lists[1][0]:
                return different("list", "not the same name")
            return self(lists[0][1], lists[1][1])
        if lists[0] or lists[1]:
            return self(lists[0][1] if lists[0] else gold, lists[1][1] if lists[1] else answer)
        g, a = assignment(gold), assignment(answer)
        if (named := named_tuple(gold)) and isinstance(answer, Group):
            return self(named, answer)
        if (named := named_tuple(answer)) and isinstance(gold, Group):
            return self(gold, named)
        if g and a:
            values = values_to_compare(g, a)
            if values is None:
                return equal_relations(gold, answer)  # type: ignore[arg-type]
            if names_several(gold) and names_several(answer):
                return equal_relations(gold, answer)  # type: ignore[arg-type]
            outcome = self(*values)
            if outcome.equal or not (isinstance(gold, Relation) and isinstance(answer, Relation)):
                return outcome
            scalars = not isinstance(values[0], _STRUCTURES) and not isinstance(values[1], _STRUCTURES)
            again = scalars and len(gold.operands) == 2
            return equal_relations(gold, answer) if again else outcome
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
        """Several letters with a value each are a point, with its coordinates in alphabetical order."""
        g, a = values_by_letter(gold), values_by_letter(answer)
        if g and a:
            if set(g) != set(a):
                return different("tuple", "not the same letters")
            return all_equal((self(g[name], a[name]) for name in g), "tuple")
        for named, other in ((g, answer), (a, gold)):
            if named and isinstance(other, (Group, Listing)) and not any(map(assignment, other.items)):
                if isinstance(other, Listing) and all(name.startswith(WORD) for name in named):
                    return self._unordered(tuple(named.values()), other.items, False)
                orders = in_order(named, bracketed=isinstance(other, Group))
                outcomes = [self._ordered(order, other.items) for order in orders]
                return next((outcome for outcome in outcomes if outcome.equal), outcomes[0])
        return None

    def _sets(self, gold: Node, answer: Node) -> Outcome | None:
        """Sets of real numbers, and "x in S" against S."""
        if not (is_set(gold) or is_set(answer)):
            return None
        g, a = real_set(gold), real_set(answer)
        if g is not None and a is not None:
            if restrict_different_letters(gold, answer):
                return different("interval", "another letter")
            return equal_sets(g, a, self._scalars)
        g_inner, a_inner = set_of_membership(gold), set_of_membership(answer)
        if (g_inner, a_inner) != (gold, answer):
            return self(g_inner, a_inner)
        return None

    def _lists(self, gold: Node, answer: Node) -> Outcome | None:
        """Lists and sets in any order. A set may repeat elements, a list of answers may not."""
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
        for one, other in ((gold, answer), (answer, gold)):
            if isinstance(one, Listing) and _is_order(other):
                return self._ordered(one.items, other.operands)
            if (
                isinstance(one, Listing)
                and isinstance(other, _SCALARS)
                and len(set(one.items)) == len(one.items)
            ):
                forms = all_equal((self(other, item) for item in one.items), "list")
                return forms if forms.equal else different("list", f"{len(one.items)} values against 1")
        points = all(map(all_groups, (items_of(gold), items_of(answer))))
        rule_of_sets = isinstance(gold, SetOf) or isinstance(answer, SetOf) or points
        return self._unordered(items_of(gold), items_of(answer), rule_of_sets)

    def _tuples(self, gold: Node, answer: Node) -> Outcome | None:
        """Points, vectors, matrices, and intervals whose ends contain letters."""
        gold, answer = computed(gold), computed(answer)
        g, a = rows_of(gold), rows_of(answer)
        if g is None and a is None:
            plain = plain_unit_vectors(gold, answer)
            return equal(*plain) if plain else None
        if (g is None) != (a is None) and (sums := as_unit_vectors(gold, answer)):
            return equal(*sums)
        if g is None or a is None:
            return different("tuple", "several values against one")
        if isinstance(gold, Group) and isinstance(answer, Group) and not have_same_brackets(gold, answer):
            return different("interval", "not the same brackets")
        vectors = isinstance(gold, Group) != isinstance(answer, Group)
        if vectors and 1 in (len(g), len(g[0]) if g else 1) and 1 in (len(a), len(a[0]) if a else 1):
            g, a = [[x for row in g for x in row]], [[x for row in a for x in row]]
        if [len(row) for row in g] != [len(row) for row in a]:
            return different("matrix" if isinstance(gold, Matrix) else "tuple", "not the same shape")
        pairs = ((x, y) for g_row, a_row in zip(g, a, strict=True) for x, y in zip(g_row, a_row, strict=True))
        return all_equal((self(x, y) for x, y in pairs), "matrix" if isinstance(gold, Matrix) else "tuple")

    def _others(self, gold: Node, answer: Node) -> Outcome:
        if isinstance(gold, Relation) and isinstance(answer, Relation):
            return equal_relations(gold, answer)
        match gold, answer:
            case (SetOperation() | Logic(), SetOperation() | Logic()) if gold.operator == answer.operator:
                if gold.operator == "setminus":
                    return self._ordered(gold.parts, answer.parts)
                return self._unordered(gold.parts, answer.parts, True)
            case Builder(), Builder():
                return self._builders(gold, answer)
            case Cases(), Cases():
                return self._cases(gold, answer)
        if isinstance(gold, Ratio) or isinstance(answer, Ratio):
            return compare_ratios(gold, answer)
        if _is_structure(gold) or _is_structure(answer):
            return different("kind", f"{_kind(gold)} against {_kind(answer)}")
        return self._scalars(gold, answer)

    def _scalars(self, gold: Node, answer: Node) -> Outcome:
        return equal_quantities(gold, answer, strict=self.strict)

    def _unions(self, gold: Node, answer: Node) -> Outcome | None:
        """Unions over an index, whatever its letter; over all integers, the letter alone says as much."""
        match gold, answer:
            case Call(name="bigcup" | "bigcap"), Call(name=name) if name == gold.name:
                return self._indexed(gold, answer)
            case Call(name="bigcup", args=(body, index)), _ if is_range_remark(index):
                return self(body, answer)
            case _, Call(name="bigcup", args=(body, index)) if is_range_remark(index):
                return self(gold, body)
        return None

    def _indexed(self, gold: Call, answer: Call) -> Outcome:
        (g_body, g_index, *g_end), (a_body, a_index, *a_end) = gold.args, answer.args
        match g_index, a_index:
            case Relation(operands=(Symbol(name=new), _)), Relation(operands=(Symbol(name=old), _)):
                if old != new and new in symbols(a_body):
                    return different("set", "another letter")
                if old != new:
                    a_body, a_index = (rename_letters(part, {old: new}) for part in (a_body, a_index))
        return self._ordered([g_body, g_index, *g_end], [a_body, a_index, *a_end])

    def _builders(self, gold: Builder, answer: Builder) -> Outcome:
        """{x | condition}, whatever the letter."""
        element, condition = answer.element, answer.condition
        new, old = bound_letter(gold), bound_letter(answer)
        if new and old and old != new:
            if new in symbols(element) | symbols(condition):
                return different("set", "another letter")
            element, condition = (rename_letters(part, {old: new}) for part in (element, condition))
        return self._ordered([gold.element, gold.condition], [element, condition])

    def _cases(self, gold: Cases, answer: Cases) -> Outcome:
        """Piecewise definitions: the same pieces in any order; "otherwise" matches any condition."""
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
        return all_equal((self(x, y) for x, y in zip(g, answer, strict=True)), "tuple")

    def _unordered(self, gold: tuple[Node, ...], answer: tuple[Node, ...], as_set: bool) -> Outcome:
        """Matches each item with one of the other side; in a set, equal items count once."""
        rule = "set" if as_set else "list"
        if as_set:
            gold, answer = self._distinct(gold), self._distinct(answer)
        if len(gold) != len(answer):
            return different(rule, f"{len(gold)} values against {len(answer)}")
        if ELLIPSIS in gold or ELLIPSIS in answer:
            return self._ordered(gold, answer)
        if len(gold) * len(answer) > MAX_MATCHES and gold != answer:
            ordered = self._ordered(gold, answer)
            return ordered if ordered.equal else undecided("limit", f"more than {MAX_MATCHES} comparisons")
        if Counter(gold) == Counter(answer):
            return same(rule)
        left: list[Node] = list(answer)
        open_outcome: Outcome | None = None
        for item in gold:
            for place, other in enumerate(left):
                outcome = self(item, other)
                if outcome.equal:
                    del left[place]
                    break
                open_outcome = outcome if outcome.equal is None else open_outcome
            else:
                return open_outcome or different(rule, "an item has no partner")
        return same(rule)

    def _distinct(self, items: tuple[Node, ...]) -> tuple[Node, ...]:
        kept: list[Node] = []
        for item in items:
            if item not in kept and (len(items) > 20 or not any(self(item, other).equal for other in kept)):
                kept.append(item)
        return tuple(kept)


def _is_order(node: Node) -> TypeGuard[Relation]:
    """Whether `node` puts several letters or numbers in order: a < b < c."""
    if not isinstance(node, Relation) or len(node.operands) < 3:
        return False
    named = {bool(symbols(part)) for part in node.operands}
    return len(named) == 1 and (set(node.operators) <= {"<", "<="} or set(node.operators) <= {">", ">="})


_SCALARS = (Number, Add, Mul, Power, Percent, Constant, Symbol, Call)
_SOLUTIONS = (*_SCALARS, Relation)
_STRUCTURES = (Relation, Logic, SetOperation, Cases, Group, SetOf, Listing, Builder, Matrix)


def _is_structure(node: Node) -> bool:
    if isinstance(node, (Relation, Logic, SetOperation, Cases, Group, Builder)):
        return True
    return isinstance(node, Call) and node.name.startswith("big")


def _kind(node: Node) -> str:
    return {"Group": "a tuple or interval", "Relation": "a relation"}.get(
        type(node).__name__, type(node).__name__.lower()
    )
