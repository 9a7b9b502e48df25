"""Prefix forms of the grammar: numerals, letters, brackets and LaTeX's commands."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from limo_ablate.verify.limits import MAX_DIGITS, MAX_ITEMS, LimitReached
from limo_ablate.verify.nodes import (
    HALF,
    MINUS_ONE,
    TWO,
    Call,
    Cases,
    Constant,
    Degrees,
    Group,
    Matrix,
    Mul,
    Node,
    NotParsed,
    Number,
    Percent,
    Power,
    Relation,
    SetOf,
    Symbol,
    Unit,
    divide,
)
from limo_ablate.verify.rewrite import rebuild
from limo_ablate.verify.units import SPEED, UNITS
from limo_ablate.verify.vocabulary import (
    ACCENTS,
    FUNCTIONS,
    GREEK,
    INVERSE,
    NUMBER_SETS,
    NUMBER_WORDS,
    SPELLINGS,
    STOP_WORDS,
)

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser

_CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "oo": "inf", "e": "e", "i": "i",
              "varinfty": "inf"}  # fmt: skip
_SETS = frozenset(NUMBER_SETS.values())
_BIG = {
    "sum": "sum",
    "prod": "product",
    "int": "integral",
    "iint": "integral",
    "oint": "integral",
    "lim": "limit",
}
_FRACTIONS = frozenset(("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom", "sfrac", "nicefrac"))


def prefix(p: Parser) -> Node:
    token = p.next()
    text = token.text
    match token.kind:
        case "num":
            return _number(p, text)
        case "repeating":
            return _repeating(text)
        case "text":
            return _words(p, text)
        case "begin":
            return _environment(p, text)
        case "name" | "cmd" | "op" if text in _FORMS and token.kind != "name":
            return _FORMS[text](p)
        case "name" | "cmd":
            return _named(p, text, command=token.kind == "cmd")
    raise NotParsed(f"unexpected {text or 'end'!r}")


# numbers


def _number(p: Parser, text: str) -> Node:
    from limo_ablate.verify.parser import number, numeral

    if p.peek() == "_" and text.isdigit():
        p.next()
        return numeral(text, _subscript_base(p))
    value = number(text)
    return _mixed(p, value) or value


def _mixed(p: Parser, whole: Number) -> Number | None:
    """7 3/5 and 7\\frac{3}{5}: a numeric fraction after an integer is added to it."""
    if whole.shown is not None or whole.value == 0:
        return None
    token = p.token
    if token.text in ("frac", "dfrac", "tfrac") and token.kind == "cmd":
        digits = _digits(p, 1)
        length = 7
        if not digits:
            return None
    elif token.kind == "num" and token.space and p.ahead().text == "/" and p.ahead(2).kind == "num":
        digits, length = (token.text, p.ahead(2).text), 3
    else:
        return None
    if not all(d.isdigit() and len(d) < MAX_DIGITS for d in digits):
        return None
    top, bottom = map(int, digits)
    if not top or not bottom:
        return None
    if length == 7:
        length = 1 + sum(3 if p.ahead(k).text == "{" else 1 for k in _argument_starts(p))
    if p.ahead(length).text == "^":
        return None
    p.at += length
    return Number(whole.value + Fraction(top, bottom))


def _argument_starts(p: Parser) -> tuple[int, int]:
    return 1, 4 if p.ahead(1).text == "{" else 2


def _digits(p: Parser, start: int) -> tuple[str, str] | None:
    """The two numerals of the \\frac ahead, braced or single digits."""
    found = []
    for at in _argument_starts(p):
        braced = p.ahead(at).text == "{"
        numeral = p.ahead(at + braced)
        if numeral.kind != "num" or (braced and p.ahead(at + 2).text != "}"):
            return None
        found.append(numeral.text)
    return found[0], found[1]


def _repeating(text: str) -> Number:
    """0.1\\overline{6}, 0.\\dot{1}4\\dot{2}, 0.333...: exact."""
    whole, _, decimals = text.partition(".")
    if "overline" in decimals or "bar" in decimals:
        fixed, _, block = decimals.partition("\\")
    elif "dot{" in decimals or "\\dot" in decimals:
        fixed, _, block = decimals.partition("\\dot")
    elif "(" in decimals:
        fixed, _, block = decimals.partition("(")
    else:
        digits = "".join(c for c in decimals if c.isdigit())
        size = next(n for n in range(1, 7) if digits.endswith(digits[-n:] * 3))
        fixed, block = digits[:-size], digits[-size:]
    block = "".join(c for c in block if c.isdigit())
    if len(fixed) + len(block) > MAX_DIGITS or not block:
        raise LimitReached(f"a numeral of more than {MAX_DIGITS} digits")
    scale = 10 ** len(fixed)
    return Number(
        Fraction(int(whole or "0")) + Fraction(int(fixed or "0"), scale)
        + Fraction(int(block), scale * (10 ** len(block) - 1))
    )  # fmt: skip


def _subscript_base(p: Parser) -> Node:
    from limo_ablate.verify.parser import number

    braced = p.take("{")
    round_ = p.take("(")
    words = []
    while p.token.kind in ("num", "text", "name"):
        words.append(p.next().text.lower())
    if round_:
        p.expect(")")
    if braced:
        p.expect("}")
    word = "".join(words).replace("base", "").strip()
    return number(word) if word.isdigit() else Symbol({"ten": "ten"}.get(word, word))


# words and units


def _words(p: Parser, text: str) -> Node:
    """A unit, "percent", a number word, or a noun that is counted; sentences are no formula."""
    word = text.strip(" ,.;:")
    lower = word.lower()
    if lower in ("e", "i"):
        return Constant(lower)
    if lower in NUMBER_WORDS:
        return Number(Fraction(NUMBER_WORDS[lower]))
    if "/" in word and p.take("^"):
        top, _, bottom = word.rpartition("/")
        return divide(_unit(top), Power(_unit(bottom), _argument(p)))
    parts = [_unit(part) for part in _unit_words(word)]
    if any(part.lower() in STOP_WORDS for part in word.split()) or len(parts) > 4:
        raise NotParsed(f"a sentence: {word[:40]!r}")
    unit = parts[0]
    for part in parts[1:]:
        unit = Mul((unit, part))
    return unit


def _unit_words(word: str) -> list[str]:
    return word.replace("-", " ").split() or [word]


def _unit(word: str) -> Node:
    """One word: cm, cm^2, m/s, mph, "square" before a length, or any noun."""
    if "/" in word:
        top, _, bottom = word.partition("/")
        return divide(_unit(top), _unit(bottom))
    name, digits = word.rstrip("0123456789^{}"), "".join(c for c in word if c.isdigit())
    if name in UNITS and digits:
        return Power(Unit(name, True), Number(Fraction(int(digits[:2]))))
    for prefix_word, power in (("平方", 2), ("立方", 3)):
        if word.startswith(prefix_word) and word[2:] in UNITS:
            return Power(Unit(word[2:], True), Number(Fraction(power)))
    if word in SPEED:
        return divide(*(Unit(name, True) for name in SPEED[word]))
    stem = word if word in UNITS else word.lower()
    return Unit(stem, True) if stem in UNITS else Unit(word.lower(), False)


# letters, constants, functions


def _named(p: Parser, text: str, *, command: bool) -> Node:
    if text in FUNCTIONS and (command or len(text) > 1):
        return _function(p, FUNCTIONS[text])
    if text in _CONSTANTS:
        constant = Constant(_CONSTANTS[text])
        return _subscripted(p, text) if p.peek() == "_" and text in "ei" else constant
    if text in _SETS:
        return Symbol(text)
    if command:
        name = SPELLINGS.get(text, text)
        if text not in GREEK and text not in SPELLINGS and len(text) > 1:
            raise NotParsed(f"unknown command \\{text}")
    else:
        name = text
    return _subscripted(p, name)


def _subscripted(p: Parser, name: str) -> Node:
    """A letter with its subscript; f(2) and I(0) are values of a function, f(x) of a named one."""
    from limo_ablate.verify.parser import APPLIED
    from limo_ablate.verify.show import show

    if p.take("_"):
        if p.take("{"):
            name += "_" + _raw(p)
        else:
            name += "_" + p.next().text
    while p.peek() == "'" and p.token.kind == "op":
        p.next()
        name += "'"
    if name == "C" and p.peek() == "(" and p.ahead(2).text == ",":
        p.next()
        return Call("binomial", p.bracket("(").items)  # type: ignore[union-attr]
    letter = name.rstrip("'")
    if p.peek() == "(" and ((p.ahead().kind == "num" and p.ahead(2).text == ")") or letter in APPLIED):
        p.next()
        argument = p.bracket("(")
        return Symbol(f"{name}({show(argument)})")
    return Symbol(name)


def _raw(p: Parser) -> str:
    """The tokens up to the closing brace, as they are written: a subscript names, it is not computed."""
    text, depth = "", 1
    while True:
        token = p.next()
        if token.kind == "eof":
            raise NotParsed("a subscript without an end")
        depth += (token.text == "{") - (token.text == "}")
        if not depth:
            return text
        text += token.text if token.text not in "{}" else ""


def _function(p: Parser, name: str) -> Node:
    """\\sin^2 x, \\log_2 x, \\sin^{-1} x, f{x}, f(x, y)."""
    if name == "sqrt":
        return _root(p)
    base: Node | None = None
    exponent: Node | None = None
    for _ in range(2):
        if p.take("_"):
            base = _argument(p)
        elif p.peek() == "^" and not p.ahead().text == "circ":
            p.next()
            exponent = _argument(p)
    if exponent == MINUS_ONE and name in INVERSE:
        name, exponent = INVERSE[name], None
    args = _function_arguments(p)
    node = _call(p, name, base, args)
    return Power(node, exponent) if exponent is not None else node


def _call(p: Parser, name: str, base: Node | None, args: tuple[Node, ...]) -> Node:
    if name == "exp":
        return Power(Constant("e"), args[0])
    if name == "cis":
        return Power(Constant("e"), Mul((Constant("i"), args[0])))
    if name == "cbrt":
        return Power(args[0], Number(Fraction(1, 3)))
    if name == "lg" or (name == "log" and base is None and p.log10 and len(args) == 1):
        base = Number(Fraction(10))
    if name in ("log", "ln", "lg"):
        if base is None and len(args) == 2:
            return Call("log", args)
        return Call("ln", args) if base is None else Call("log", (args[0], base))
    if base is not None:
        raise NotParsed(f"{name} with a subscript")
    return Call(name, args)


def _function_arguments(p: Parser) -> tuple[Node, ...]:
    """Braced or bracketed, or the factors that follow up to the next function."""
    from limo_ablate.verify.parser import POWER

    for opening, closing in (("(", ")"), ("[", "]"), ("{", "}")):
        if p.take(opening):
            bars, p.bars = p.bars, 0
            args = p.items(closing)
            p.expect(closing)
            p.bars = bars
            return args
    sign = p.take("-")
    factors = [p.expression(POWER - 1)]
    while (
        p.starts_atom()
        and p.peek() not in FUNCTIONS
        and p.peek() not in ("(", "[")
        and p.token.kind != "text"
    ):
        factors.append(p.expression(POWER - 1))
    if sign:
        factors.insert(0, MINUS_ONE)
    return (factors[0] if len(factors) == 1 else Mul(tuple(factors)),)


def _argument(p: Parser) -> Node:
    """One argument of a command: a group, or a single atom."""
    if p.take("{"):
        node = p.answer()
        p.expect("}")
        return node
    if p.take("-"):
        return Mul((MINUS_ONE, prefix(p)))
    p.deeper()
    node = prefix(p)
    p.depth -= 1
    return node


# commands


def _root(p: Parser) -> Node:
    index: Node = TWO
    if p.take("["):
        index = p.expression()
        p.expect("]")
    if p.peek() == "(":
        p.next()
        radicand = p.bracket("(")
        if isinstance(radicand, Group):
            raise NotParsed("a root of several values")
    else:
        radicand = _argument(p)
    return Power(radicand, HALF if index == TWO else divide(Number(Fraction(1)), index))


def _fraction(p: Parser, name: str) -> Node:
    top, bottom = _argument(p), _argument(p)
    return Call("binomial", (top, bottom)) if name.endswith("binom") else divide(top, bottom)


def _big(p: Parser, name: str) -> Node:
    """Sums, products, integrals and limits, with their bounds."""
    lower: Node | None = None
    upper: Node | None = None
    for _ in range(2):
        if p.take("_"):
            lower = _argument(p)
        elif p.take("^"):
            upper = _argument(p)
    if name == "integral":
        return _integral(p, lower, upper)
    from limo_ablate.verify.parser import SUM

    body = p.expression(SUM)
    if isinstance(lower, Relation) and lower.operands[0] == Constant("i"):  # an index, not the imaginary unit
        lower, body = (
            rebuild(part, lambda n: Symbol("i") if n == Constant("i") else n) for part in (lower, body)
        )
    parts = () if lower is None else (lower,)
    return Call(name, (body, *parts, *(() if upper is None else (upper,))))


def _integral(p: Parser, lower: Node | None, upper: Node | None) -> Node:
    p.differentials += 1
    body: Node = p.expression() if not p.differential() else Number(Fraction(1))
    p.differentials -= 1
    if p.peek() != "d":
        raise NotParsed("an integral without its differential")
    p.next()
    variable = prefix(p)
    bounds = () if lower is None or upper is None else (lower, upper)
    return Call("integral", (body, variable, *bounds))


def _accent(p: Parser, name: str) -> Node:
    from limo_ablate.verify.show import show

    inner = show(_argument(p))
    if name in ("overline", "overrightarrow", "underline"):
        inner = inner.replace("*", "")
    plain = {"widehat": "hat", "overrightarrow": "vec", "widetilde": "tilde", "overline": "bar"}.get(
        name, name
    )
    return _subscripted(p, f"{plain} {inner}")


def _absolute(p: Parser) -> Node:
    p.bars += 1
    node = p.expression()
    p.bars -= 1
    p.expect("|", "rvert", "\\|", "||", "rVert")
    return Call("abs", (node,))


def _angle_name(p: Parser) -> Node:
    """\\angle ABC: the letters are one name."""
    if p.take("{"):
        node = p.expression()
        p.expect("}")
        return node
    name = "angle "
    while p.token.kind == "name" and len(p.peek()) == 1 and p.peek().isupper():
        letter = p.next().text
        node = _subscripted(p, letter) if p.peek() == "_" else Symbol(letter)
        name += node.name if isinstance(node, Symbol) else letter
    return Symbol(name) if name != "angle " else prefix(p)


def _delimited(name: str, closing: str) -> Callable[[Parser], Node]:
    def read(p: Parser) -> Node:
        node = p.expression()
        p.expect(closing)
        return Call(name, (node,))

    return read


def _brace(p: Parser) -> Node:
    """A TeX group, or the set that plain text writes with the same braces."""
    if p.take("}"):
        return SetOf(())
    start = p.at
    node = p.braces("}")
    if isinstance(node, SetOf) and len(node.items) == 1:
        return node.items[0]
    return node if p.at > start else SetOf(())


def _angle(p: Parser) -> Node:
    items = p.items("rangle", ">")
    p.next()
    return Group("<", items, ">")


def _environment(p: Parser, name: str) -> Node:
    p.deeper()
    rows = _rows(p, name)
    p.depth -= 1
    if name in ("cases", "dcases", "array", "aligned", "rcases") and (name != "array" or p.at > 1):
        cases = _cases(rows)
        if cases is not None:
            return cases
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


def _transparent(closing: str) -> Callable[[Parser], Node]:
    def read(p: Parser) -> Node:
        opening = {"(": ")", "[": "]"}
        return p.bracket(next(o for o, c in opening.items() if c == closing))

    return read


def _set(p: Parser) -> Node:
    if p.token.kind == "begin":  # \left\{\begin{array}: cases whose closing brace is invisible
        return prefix(p)
    return p.braces("\\}")


def _currency(p: Parser) -> Node:
    """\\$5: the amount with its unit."""
    from limo_ablate.verify.parser import SIGN

    return Mul((p.expression(SIGN), Unit("dollar", True)))


_FORMS: dict[str, Callable[[Parser], Node]] = {
    "(": lambda p: p.bracket("("),
    "[": lambda p: p.bracket("["),
    "]": lambda p: p.bracket("]"),
    "lbrack": lambda p: p.bracket("["),
    "{": _brace,
    "\\{": _set,
    "lbrace": _set,
    "|": _absolute,
    "lvert": _absolute,
    "\\|": _absolute,
    "||": _absolute,
    "lVert": _absolute,
    "langle": _angle,
    "<": _angle,
    "angle": _angle_name,
    "lfloor": _delimited("floor", "rfloor"),
    "lceil": _delimited("ceil", "rceil"),
    "sqrt": _root,
    "emptyset": lambda p: SetOf(()),
    "varnothing": lambda p: SetOf(()),
    "\\$": _currency,
    **{name: (lambda p, name=name: _fraction(p, name)) for name in _FRACTIONS},  # type: ignore[misc]
    **{name: (lambda p, name=value: _big(p, name)) for name, value in _BIG.items()},  # type: ignore[misc]
    **{name: (lambda p, name=name: _accent(p, name)) for name in ACCENTS},  # type: ignore[misc]
}

__all__ = ["Degrees", "Percent", "prefix"]
