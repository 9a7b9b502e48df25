"""Equations and inequalities: solved ones by their value, others up to a constant factor."""

from __future__ import annotations

import re

from limo_ablate.verify.algebra import Floats, Residues, Undefined, Unsupported, evaluate
from limo_ablate.verify.nodes import Add, Node, Relation, Symbol, negate, symbols
from limo_ablate.verify.outcome import Outcome, different, every, same
from limo_ablate.verify.precise import Precise, digits_needed
from limo_ablate.verify.scalar import REJECTS, equal, points, rename, residue

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "equiv": "equiv"}
_FUNCTION = re.compile(r"([A-Za-z]+(?:_\w+)?)\((\w)\)")


def assigned(node: Node) -> tuple[str, Node] | None:
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
    """The value of 2^3 = 8, whose sides are equal constants; None where they are not."""
    if not isinstance(node, Relation) or set(node.operators) != {"="} or symbols(node):
        return None
    first = node.operands[0]
    return node.operands[-1] if all(equal(first, side).equal for side in node.operands[1:]) else None


def equal_assignments(gold: tuple[str, Node], answer: tuple[str, Node]) -> tuple[Node, Node] | None:
    """The two values to compare, letters made the same; None where the names say different things."""
    (g_name, g_value), (a_name, a_value) = gold, answer
    g_function, a_function = _FUNCTION.fullmatch(g_name), _FUNCTION.fullmatch(a_name)
    if g_function and a_function:
        if g_function[1].lower() != a_function[1].lower():
            return None
        if a_function[2] != g_function[2] and g_function[2] not in symbols(a_value):
            a_value = rename(a_value, {a_function[2]: g_function[2]})
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
    """Same relation written another way: sides swapped, terms moved, multiplied by a constant."""
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
    return every((equal(g, a) for g, a in pairs), "relation")


def _mirror(relation: Relation) -> Relation | None:
    if any(op not in _MIRRORED for op in relation.operators):
        return None
    return Relation(relation.operands[::-1], tuple(_MIRRORED[op] for op in relation.operators[::-1]))


def _unordered(gold: Relation, answer: Relation) -> Outcome:
    """a = b = c in any order."""
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
    """Whether left - right is a constant multiple, positive where the order of the sides matters."""
    f, g = _difference(gold), _difference(answer)
    names = sorted(symbols(f))
    if not names or symbols(g) != set(names):
        return different("relation", "not the same letters")
    try:
        outcome = _rational_ratio(f, g, names)
    except (Unsupported, Undefined):
        outcome = _numeric_ratio(f, g, names)
    if outcome.equal and ordered and not _positive_ratio(f, g, names):
        return different("relation", "the inequality points the other way")
    return outcome


def _rational_ratio(f: Node, g: Node, names: list[str]) -> Outcome:
    values = []
    for draw in (0, 1, 2):
        algebra = Residues({name: residue(name, draw) for name in (*names, "\\pi", "\\e")})
        values.append((evaluate(f, algebra)[0], evaluate(g, algebra)[0]))
    (f0, g0), *others = values
    if not f0 or not g0 or any((f0 * g1 - f1 * g0) % Residues.PRIME for f1, g1 in others):
        return different("relation", "not a constant multiple")
    return same("relation")


def _numeric_ratio(f: Node, g: Node, names: list[str]) -> Outcome:
    """The same by many digits at the points where both have values."""
    digits = digits_needed(f, g)
    found = []
    for point in points(names, whole=False):
        try:
            algebra = Precise(digits, point)
            found.append((algebra, evaluate(f, algebra), evaluate(g, algebra)))
        except (Unsupported, Undefined):
            continue
        if len(found) == 3:
            break
    if len(found) < 2:
        return Outcome(None, "relation", "no point to compare at")
    _, f0, g0 = found[0]
    for algebra, f1, g1 in found[1:]:
        if abs(f0 * g1 - f1 * g0) > abs(f0 * g1) * algebra.ctx.mpf(10) ** -40 or f0 == 0:
            return different("relation", "not a constant multiple")
    return same("relation")


def _positive_ratio(f: Node, g: Node, names: list[str]) -> bool:
    for point in points(names, whole=False):
        algebra = Floats({name: complex(float(value)) for name, value in point.items()})
        try:
            ratio = evaluate(f, algebra) / evaluate(g, algebra)
        except (Unsupported, Undefined, ZeroDivisionError):
            continue
        return bool(ratio.real > REJECTS)
    return False
