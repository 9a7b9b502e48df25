"""Compares equations and inequalities: solved ones by their value, others up to a constant factor."""

from __future__ import annotations

import re
from fractions import Fraction

from limo_ablate.verify.nodes import (
    ELLIPSIS,
    MINUS_ONE,
    Add,
    Call,
    Mul,
    Node,
    Number,
    Power,
    Ratio,
    Relation,
    Symbol,
    Unit,
    negate,
    symbols,
    walk,
)
from limo_ablate.verify.sample_points import sample_points
from limo_ablate.verify.scalar import approximate, equal, rename_letters, substitute
from limo_ablate.verify.show import show
from limo_ablate.verify.verdict import Outcome, all_equal, different, same, undecided
from limo_ablate.verify.vocabulary import NUMBER_SETS

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "equiv": "equiv"}
_FUNCTION = re.compile(r"([A-Za-z]+(?:_\w+)?)\((\w)\)")


def assignment(node: Node) -> tuple[str, Node] | None:
    """(name, value) of x = 5, f(x) = ..., 5 = x, AB = 13, Area: 12, x = y = 5, x = 2 + 3 = 5; else None."""
    if isinstance(node, Ratio) and len(node.parts) == 2 and isinstance(node.parts[0], (Unit, Mul)):
        name = quantity_name(node.parts[0])
        return (name, node.parts[1]) if name and name.startswith(WORD) else None
    if not isinstance(node, Relation) or set(node.operators) not in ({"="}, {"equiv"}):
        return None
    left, right = node.operands[0], node.operands[-1]
    if ELLIPSIS in walk(left) and ELLIPSIS not in walk(right):
        return show(left), right  # 1 + 2 + ... + n = n(n+1)/2
    if not isinstance(left, Symbol) and isinstance(right, Symbol) and len(node.operands) == 2:
        left, right = right, left
    name = quantity_name(left)
    if name is None or symbols(left) & symbols(right) or (quantity_name(right) or "").startswith(WORD):
        return None
    if symbols(right) and not isinstance(left, (Symbol, Unit)) and not is_name_of_points(left):
        return None
    for side in node.operands[1:-1]:
        if not (symbols(side) and not symbols(right)) and equal(side, right).equal is not True:
            return None
    return name, right


WORD = "\\"
"""Begins names that are words."""
_COORDINATES = frozenset(("x", "y", "z"))
"""Letters of which a sum or product is one side of an equation: x + y = 12 is a line, a + b = 13 is 13."""
_ABSOLUTE_X = Call("abs", (Symbol("x"),))
_NAMED_FUNCTIONS = frozenset(
    ("abs", "sin", "cos", "tan", "cot", "sec", "csc", "re", "im", "arg", "det", "max", "min", "gcd", "lcm")
) | {"limit", "integral"}


def quantity_name(node: Node) -> str | None:
    """What a quantity is called: x, AB, |AB|, cos A, P(X = 2), a + b, AB/CD, V_1:V_2, "area".

    None for other expressions: one side of an equation such as 3x + 4y = 12 is no quantity's name.
    """
    match node:
        case Symbol(name=name):
            return name if node != ELLIPSIS and name not in NUMBER_SETS.values() else None
        case Unit(known=False) | Unit(name="min"):
            return WORD + node.name
        case Call(name="abs", args=(inner,)) if is_name_of_points(inner):
            return quantity_name(inner)
        case Call() if node.name in _NAMED_FUNCTIONS:
            return show(node) if symbols(node) and node != _ABSOLUTE_X else None
        case Power(base=Call(), exponent=Number()):
            return show(node) if quantity_name(node.base) else None
        case Power(exponent=exponent) if exponent == MINUS_ONE:
            divisor = quantity_name(node.base)
            return None if divisor is None or divisor in _COORDINATES else f"1/{divisor}"
        case Mul(factors=parts) if is_name_of_points(node):
            return "".join(part.name for part in parts if isinstance(part, Symbol))
        case Mul(factors=parts) | Add(terms=parts) | Ratio(parts=parts):
            names = [quantity_name(_unsigned(part)) for part in parts]
            if any(name is None or name in _COORDINATES for name in names):
                return None
            words = all(name and name.startswith(WORD) for name in names)
            return WORD + " ".join(str(name)[1:] for name in names) if words else show(node)
    return None


def is_name_of_points(node: Node) -> bool:
    """AB and ABC, whose letters are points."""
    parts = node.factors if isinstance(node, Mul) else ()
    names = [part.name for part in parts if isinstance(part, Symbol)]
    return 1 < len(names) == len(parts) and all(len(name) == 1 and name.isupper() for name in names)


def _unsigned(node: Node) -> Node:
    match node:
        case Mul(factors=(Number(value=sign), rest)) if sign == -1:
            return rest
    return node


def value_of_identity(node: Node) -> Node | None:
    """The value of an equation of equal constants, such as 2^3 = 8; None otherwise."""
    if not isinstance(node, Relation) or set(node.operators) != {"="} or symbols(node):
        return None
    first = node.operands[0]
    return node.operands[-1] if all(equal(first, side).equal for side in node.operands[1:]) else None


_DEPENDENT = frozenset(("y", "rho"))
"""Letters whose value in terms of others describes a curve, as y = 6/x does xy = 6."""


def solves(equation: Relation, value: Node) -> bool:
    """Whether an equation that is linear in y, as xy = 6 is, has the solution `value`: 6/x, or y = 6/x."""
    if isinstance(value, Relation):
        found = assignment(value)
        if not found or found[0] not in _DEPENDENT:
            return False
        value = found[1]
    for name in _DEPENDENT & symbols(equation):
        if equation.operators != ("=",) or not symbols(value) or symbols(value) != symbols(equation) - {name}:
            continue
        difference = _difference(equation)
        at = [substitute(difference, {name: Number(Fraction(k))}) for k in (0, 1, 2)]
        linear = equal(Add((at[0], at[2])), Mul((Number(Fraction(2)), at[1]))).equal
        if linear and not equal(at[0], at[1]).equal:
            return bool(equal(substitute(difference, {name: value}), Number(Fraction(0))).equal)
    return False


def names_several(node: Node) -> bool:
    """Whether several sides of a chain have letters, as in x = y = 1."""
    return isinstance(node, Relation) and sum(bool(symbols(side)) for side in node.operands[:-1]) > 1


def values_to_compare(gold: tuple[str, Node], answer: tuple[str, Node]) -> tuple[Node, Node] | None:
    """The two values to compare, with the same letters; None if the names mean different things."""
    (g_name, g_value), (a_name, a_value) = gold, answer
    g_function, a_function = _FUNCTION.fullmatch(g_name), _FUNCTION.fullmatch(a_name)
    if g_function and a_function:
        if g_function[1].lower() != a_function[1].lower():
            return None
        if a_function[2] != g_function[2]:
            if g_function[2] in symbols(a_value):
                return None
            a_value = rename_letters(a_value, {a_function[2]: g_function[2]})
        return g_value, a_value
    if ("(" in g_name) != ("(" in a_name) and g_name.partition("(")[0] == a_name.partition("(")[0]:
        return g_value, a_value  # P against P(X = 2)
    if g_function or a_function:
        return (g_value, a_value) if (a_name if g_function else g_name) == "y" else None
    if g_name.startswith(WORD) != a_name.startswith(WORD):
        return g_value, a_value  # a letter, and what it stands for
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
