"""Splits a formula in LaTeX, plain mathematics or both into tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from limo_ablate.verify.limits import MAX_TOKENS, LimitReached
from limo_ablate.verify.nodes import NotParsed
from limo_ablate.verify.units import CURRENCIES, PREFIXES, UNITS
from limo_ablate.verify.vocabulary import (
    DOTS,
    FONTS,
    FUNCTIONS,
    GREEK,
    NUMBER_SETS,
    SHORT_WORDS,
    SKIPPED,
    TEXTS,
)


class Token(NamedTuple):
    kind: str
    """num, repeating, name, cmd, text, op, begin, end or eof"""
    text: str
    space: bool
    """Whether white space precedes it."""


END = Token("eof", "", False)

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|~|\\[,;:!>\s]|\\hspace\{[^{}]*\}|\\(?:left|right)\s*\.)
  | (?P<repeating>\d*\.\d*(?:\\(?:overline|dot|bar)\s*\{\d+\}|\\dot\s*\d)(?:\d*\\dot\s*(?:\{\d\}|\d))?
        |\d+\.\(\d+\)|\d{0,20}\.\d{0,40}?(?P<block>\d{1,6}?)(?P=block){2,12}(?:\.\.\.|\\l?c?dots))
  | (?P<dots>\.{3,})
  | (?P<safe>\d{1,3}(?:(?:\{,\}|\{,\\!\}|,\s?\\!\s?|\\,\s?|\\[;:\ ]|\ )\d{3})+(?!\d)(?:\.\d+)?)
  | (?P<commas>(?<!\d,)\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?)
  | (?P<num>(?:\d+\{,\}\d+|\d+(?:\.\d+|\.(?![\d.\w\\]))?|\.\d+)(?:[eE][+-]?\d+(?![\w{]))?)
  | (?P<cmd>\\(?:[a-zA-Z]+\*?|[{}|%$&\#_\\]))
  | (?P<name>(?:np\.|math\.)?[A-Za-z]+)
  | (?P<word>[\u2e80-\u9fff]+)
  | (?P<op>\*\*|<=|>=|==|!=|\|\||[-+*/^_()\[\]{}|<>=,;:!'%&$"°])
    """,
    re.VERBOSE,
)
_ENVIRONMENT = re.compile(r"\s*\{([a-zA-Z]+\*?)\}(?:\s*(?:\[[^\[\]]{0,9}\])?\s*\{[|lcr\s]*\})?")
_BRACED = re.compile(r"\s*\{((?:[^{}]|\{[^{}]{0,200}\}){0,400})\}")
_PLAIN_WORDS = re.compile(r"[^\\${}^_=<>+*/|]*[^\W\d_]{2}[^\\${}^_=<>+*|]*|[A-Za-z]")
_UNIT_WORD = re.compile(r"[A-Za-zμΩ]+")
_UNIT_EXPRESSION = re.compile(r"[A-Za-zμΩ][A-Za-zμΩ\d\s*/^(){}-]{0,60}")
_UNIT_PART = re.compile(r"([A-Za-zμΩ]+)(\d?)|\d+|[*/^(){}-]")
_UNIT_SPELLINGS = (
    (re.compile(r"\\mu\s*"), "μ"),
    (re.compile(r"\\Omega"), "Ω"),
    (re.compile(r"\\cdot|\\times"), "*"),
    (re.compile(r"\\[, ]|~"), " "),
)
_MICRO = re.compile(r"\s*(?:\\(?:mathrm|text|rm)\s*\{\s*)?([A-Za-z]{1,3})(?![A-Za-z])\}?")
_ARGUMENT = re.compile(r"\s*[({^_\\A-Za-z]")
_ONE_SYMBOL = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]")
_UNIT_LETTERS = frozenset(["m", "s", "g", "h", "N", "J", "W", "V", "A", "K", "L"])
_AMOUNT = re.compile(r"(?:\s|~|\\[,;:! ])*\.?\d")
_DOLLARS = re.compile(r"\\\$|\s+dollars?\b")
_OPENING, _CLOSING = frozenset(("(", "[", "\\{", "\\langle")), frozenset((")", "]", "\\}", "\\rangle"))
_DIGIT_ARGUMENTS = frozenset(("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom"))


def tokenize(text: str, *, scientific: bool = True) -> list[Token]:
    """Tokens of `text`, `eof` last. NotParsed at a character no formula has, LimitReached past MAX_TOKENS.

    With `scientific` off, 2e-1 is twice Euler's number less one.
    """
    tokens: list[Token] = []
    at, depth, space, one_digit = 0, 0, False, 0
    while at < len(text):
        if len(tokens) > MAX_TOKENS:
            raise LimitReached(f"more than {MAX_TOKENS} tokens")
        match = _TOKEN.match(text, at)
        if not match:
            raise NotParsed(f"unexpected {text[at]!r}")
        kind, value = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "space":
            space = True
            continue
        if kind == "dots":
            kind, value = "cmd", "\\ldots"
        if kind in ("num", "safe", "commas"):
            value = _cut(kind, value, one_digit, depth, scientific)
            at = match.start() + len(value)
            tokens.append(Token("num", _plain_number(value), space))
            one_digit = max(one_digit - 1, 0)
        elif kind == "cmd":
            depth += (value in _OPENING) - (value in _CLOSING)
            at, one_digit = _command(value[1:], text, at, space, tokens, one_digit)
        elif kind == "name":
            if not _currency(value, text, at, space, tokens):
                _names(value, bool(_ARGUMENT.match(text, at)), space, tokens)
            one_digit = max(one_digit - 1, 0)
        else:
            depth += (value in _OPENING) - (value in _CLOSING)
            one_digit = 0 if value == "{" else one_digit
            if value != "$":
                value = "^" if value == "**" else value
                tokens.append(Token("text" if kind == "word" else kind, value, space))
        space = False
    tokens.append(END)
    return tokens


def _cut(kind: str, value: str, one_digit: int, depth: int, scientific: bool) -> str:
    """The part of a numeral that is one number here: one digit in \\frac12, no comma in (1,250), but one
    in (1,000): no number is written 000."""
    if one_digit:
        return value[0]
    if kind == "commas" and depth and ",0" not in value:
        return value.partition(",")[0]
    if kind == "num" and not scientific:
        return re.split("[eE]", value)[0]
    return value


def _plain_number(text: str) -> str:
    if text.isdigit():
        return text
    text = text.replace("{,\\!}", "")
    if re.fullmatch(r"\d+\{,\}\d+", text) and not re.fullmatch(r"\d{1,3}\{,\}\d{3}", text):
        return text.replace("{,}", ".")
    return re.sub(r"[^\d.eE+-]", "", text)


def _command(name: str, text: str, at: int, space: bool, out: list[Token], one_digit: int) -> tuple[int, int]:
    """Adds the tokens of a command; (next position, number of single-digit arguments still expected)."""
    if not name[0].isalpha():
        out.append(Token("cmd", "\\" + name, space))
        return at, one_digit
    if name in SKIPPED:
        return at, one_digit
    if name in _DIGIT_ARGUMENTS:
        out.append(Token("cmd", name, space))
        return at, 2
    if name in ("begin", "end"):
        match = _ENVIRONMENT.match(text, at)
        if not match:
            raise NotParsed(f"\\{name} without an environment")
        out.append(Token(name, match[1].rstrip("*"), space))
        return match.end(), 0
    if name in TEXTS or name.rstrip("*") in FONTS:
        return _font(name.rstrip("*"), text, at, space, out), one_digit
    if name == "mathbb":
        match = _BRACED.match(text, at) or re.compile(r"\s*([A-Z])").match(text, at)
        if not match:
            raise NotParsed("\\mathbb without a letter")
        out.append(Token("cmd", NUMBER_SETS.get(match[1].strip(), match[1].strip()), space))
        return match.end(), 0
    if name in ("textdegree", "textcirc"):
        if out and out[-1].text != "^":
            out.append(Token("op", "^", space))
        out.append(Token("cmd", "circ", False))
        return at, 0
    if name == "colon":
        out.append(Token("op", ":", space))
        return at, 0
    if name in DOTS and out and out[-1].kind == "num" and "." in out[-1].text and not space:
        return at, one_digit  # the digits of 3.14159\ldots go on
    if name in ("mu", "Omega") and (unit := _greek_unit(name, text, at, out)):
        out.append(Token("text", unit[0], space))
        return unit[1], one_digit
    out.append(Token("cmd", NUMBER_SETS.get(name, name), space))
    return at, max(one_digit - 1, 0)


def _greek_unit(name: str, text: str, at: int, out: list[Token]) -> tuple[str, int] | None:
    """(unit, next position) of \\mu m or k\\Omega after a number; takes the prefix before \\Omega."""
    if name == "mu":
        match = _MICRO.match(text, at)
        unit = "μ" + match[1] if match else ""
        return (unit, match.end()) if match and unit in UNITS and _after_number(out) else None
    prefix = out[-1].text if len(out) > 1 and out[-1].text in PREFIXES else ""
    if prefix and _after_number(out[:-1]):
        out.pop()
        return prefix + "Ω", at
    return ("Ω", at) if _after_number(out) else None


def _font(name: str, text: str, at: int, space: bool, out: list[Token]) -> int:
    """Words in \\text or \\mathrm become one token; a formula inside them is read as if outside."""
    match = _BRACED.match(text, at)
    if not match:
        return at
    content = match[1].strip(" ~")
    if name in TEXTS and not content:
        return match.end()
    if content in ("%", "\\%"):
        out.append(Token("op", "%", space))
        return match.end()
    following = text[match.end() : match.end() + 9].lstrip()[:1]
    if (unit := _unit_expression(content, out, following)) is not None:
        out.extend(unit)
        return match.end()
    if (name in FONTS or name in ("textbf", "textit")) and _ONE_SYMBOL.fullmatch(content):
        out.append(Token("cmd", content[1:], space) if content[0] == "\\" else Token("name", content, space))
        return match.end()
    if _PLAIN_WORDS.fullmatch(content) and (name in TEXTS or (len(content) > 1 and content.isalpha())):
        if content in FUNCTIONS and following not in ("=", ":"):
            out.append(Token("name", content, space))
        else:
            out.append(Token("text", content, True))
        if content.endswith(":"):
            out.append(Token("op", ":", False))
        return match.end()
    return at


def _unit_expression(content: str, out: list[Token], following: str) -> list[Token] | None:
    """The tokens of cm^2, m/s or N \\cdot m in a font; None where they are no units."""
    for spelling, plain in _UNIT_SPELLINGS:
        content = spelling.sub(plain, content) if "\\" in content or "~" in content else content
    content = content.strip()
    if not _UNIT_EXPRESSION.fullmatch(content):
        return None
    words = _UNIT_WORD.findall(content)
    if not all(word in UNITS for word in words):
        return None
    if len(content) == 1 and content not in _UNIT_LETTERS and (not _after_number(out) or following == "_"):
        return None
    tokens = []
    for part in _UNIT_PART.finditer(content):
        tokens.append(
            Token("text" if part[1] else "num" if part[0].isdigit() else "op", part[1] or part[0], True)
        )
        if part[2]:
            tokens += [Token("op", "^", False), Token("num", part[2], False)]
    return tokens


def _names(run: str, argument: bool, space: bool, out: list[Token]) -> None:
    """A run of letters: a known name, a unit after a number, a product of letters, or a word."""
    run = run.removeprefix("np.").removeprefix("math.")
    after_number = _after_number(out)
    unit = after_number and len(run) > 1 and run in UNITS and not (run in FUNCTIONS and argument)
    if unit or (run == "in" and after_number):
        out.append(Token("text", run, space))
    elif (
        len(run) == 1
        or run in FUNCTIONS
        or run in ("pi", "inf", "infty", "infinity", "oo", "and", "or", "in")
    ):
        out.append(Token("name", run, space))
    elif run.lower() in ("percent", "pct", "degrees", "degree"):
        out.append(Token("text", run, space))
    elif run in GREEK or run in ("frac", "sqrt", "binom"):
        out.append(Token("cmd", run, space))
    elif split := _function_and_letter(run):
        out.extend((Token("name", split[0], space), Token("name", split[1], True)))
    elif len(run) <= 3 and run.lower() not in SHORT_WORDS:
        out.extend(Token("name", letter, space and k == 0) for k, letter in enumerate(run))
    else:
        out.append(Token("text", run, space))


def _currency(run: str, text: str, at: int, space: bool, out: list[Token]) -> bool:
    """EUR 12, US\\$12: adds a currency code before an amount; skips "US" before a dollar sign."""
    if run in CURRENCIES and _AMOUNT.match(text, at) and (not out or out[-1].kind in ("op", "text")):
        out.append(Token("text", run, space))
        return True
    return run == "US" and bool(_DOLLARS.match(text, at))


def _after_number(out: list[Token]) -> bool:
    return bool(out) and (out[-1].kind in ("num", "repeating") or out[-1].text in (")", "}"))


def _function_and_letter(run: str) -> tuple[str, str] | None:
    """(function, letter) of text that runs them together, such as sinx or lnx."""
    name, letter = run[:-1], run[-1]
    return (name, letter) if name in FUNCTIONS and letter in "xyztuabnk" else None
