"""Compares equations and inequalities: solved ones by their value, others up to a constant factor."""

from __future__ import annotations

import re

from limo_ablate.verify.nodes import Add, Mul, Node, Number, Relation, Symbol, negate, symbols
from limo_ablate.verify.sample_points import sample_points
from limo_ablate.verify.scalar import approximate, equal, rename_letters, substitute
from limo_ablate.verify.verdict import Outcome, all_equal, different, same, undecided

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "equiv": "equiv"}
_FUNCTION = re.compile(r"([A-Za-z]+(?:_\w+)?)\((\w)\)")


def assignment(node: Node) -> tuple[str, Node] | None:
    """(name, value) of x = 5, f(x) = ..., 5 = x and x = 2 + 3 = 5; None for other relations."""
    if not isinstance(node, Relation) or set(node.operators) not in ({"="}, {"equiv"}):
        return None
    left, right = node.operands[0], node.operands[-1]
    if not isinstance(left, Symbol) and isinstance(right, Symbol) and len(node.operands) == 2:
        left, right = right, left
    if not isinstance(left, Symbol) or left.name in symbols(right):
        return None
    between = node.operands[1:-1]
    if any(equal(side, right).equal is not True for side in between):
        return None
    return left.name, right


def value_of_identity(node: Node) -> Node | None:
    """The value of an equation of equal constants, such as 2^3 = 8; None otherwise."""
    if not isinstance(node, Relation) or set(node.operators) != {"="} or symbols(node):
        return None
    first = node.operands[0]
    return node.operands[-1] if all(equal(first, side).equal for side in node.operands[1:]) else None


def values_to_compare(gold: tuple[str, Node], answer: tuple[str, Node]) -> tuple[Node, Node] | None:
    """The two values to compare, with the same letters; None if the names mean different things."""
    (g_name, g_value), (a_name, a_value) = gold, answer
    g_function, a_function = _FUNCTION.fullmatch(g_name), _FUNCTION.fullmatch(a_name)
    if g_function and a_function:
        if g_function[1].lower() != a_function[1].lower():
            return None
        if a_function[2] != g_function[2] and g_function[2] not in symbols(a_value):
            a_value = rename_letters(a_value, {a_function[2]: g_function[2]})
        return g_value, a_value
    if g_function or a_function:
        return (g_value, a_value) if (a_name if g_function else g_name) == "y" else None
    same_letter = g_name.split("_")[0].lower() == a_name.split("_")[0].lower()
    return (
        (g_value, a_value)
        if g_name == a_name or (same_letter and ("_" in g_name) != ("_" in a_name))
        else None
    )


def equal_relations(gold: Relation, answer: Relation) -> Outcome:
    """Whether the relations are the same up to swapped sides, moved terms and a constant factor."""
    if len(gold.operands) != len(answer.operands):
        return different("relation", "not as many sides")
    outcomes = [_sides(gold, form) for form in (answer, _mirror(answer)) if form is not None]
    for outcome in outcomes:
        if outcome.equal:
            return outcome
    if len(gold.operands) > 2:
        if set(gold.operators) == set(answer.operators) == {"="}:
            return _unordered(gold, answer)
        return outcomes[0]
    for form in (answer, _mirror(answer)):
        if form is not None and form.operators == gold.operators:
            moved = _proportional(gold, form, ordered=gold.operators[0] not in ("=", "!="))
            if moved.equal or moved.equal is None:
                return moved
    return different("relation", "not the same relation")


def _sides(gold: Relation, answer: Relation) -> Outcome:
    if gold.operators != answer.operators:
        return different("relation", "not the same relation")
    pairs = zip(gold.operands, answer.operands, strict=True)
    return all_equal((equal(g, a) for g, a in pairs), "relation")


def _mirror(relation: Relation) -> Relation | None:
    if any(op not in _MIRRORED for op in relation.operators):
        return None
    return Relation(relation.operands[::-1], tuple(_MIRRORED[op] for op in relation.operators[::-1]))


def _unordered(gold: Relation, answer: Relation) -> Outcome:
    """Compares a = b = c in any order."""
    left = list(answer.operands)
    for side in gold.operands:
        match = next((other for other in left if equal(side, other).equal), None)
        if match is None:
            return different("relation", "not the same sides")
        left.remove(match)
    return same("relation")


def _difference(relation: Relation) -> Node:
    return Add((relation.operands[0], negate(relation.operands[1])))


def _proportional(gold: Relation, answer: Relation, *, ordered: bool) -> Outcome:
    """Whether the differences of the sides are multiples; by a positive factor if `ordered`.

    f is a multiple of g if f(x) g(p) = g(x) f(p) for all x, at a point p where neither is zero.
    """
    f, g = _difference(gold), _difference(answer)
    names = sorted(symbols(f))
    if not names or symbols(g) != set(names):
        return different("relation", "not the same letters")
    for point in sample_points(names, whole=False):
        at = {name: Number(value) for name, value in point.items()}
        f_there, g_there = substitute(f, at), substitute(g, at)
        signs = approximate(f_there), approximate(g_there)
        if not signs[0] or not signs[1] or min(map(abs, filter(None, signs))) < 1e-9:
            continue
        if ordered and signs[0] * signs[1] < 0:
            return different("relation", "the inequality points the other way")
        outcome = equal(Mul((f, g_there)), Mul((g, f_there)))
        return Outcome(outcome.equal, "relation", outcome.reason and "not a constant multiple")
    return undecided("relation", "no point to compare at")
