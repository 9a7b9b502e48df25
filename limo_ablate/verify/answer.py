"""Parses an answer's text: as a choice, a time or date, mathematics, or words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from limo_ablate.verify.cache import cached
from limo_ablate.verify.limits import MAX_ANSWER, LimitReached
from limo_ablate.verify.nodes import (
    Call,
    Clock,
    Date,
    Listing,
    Mul,
    Node,
    NotParsed,
    Number,
    Numeral,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    Unit,
    Words,
    divide,
    negate,
)
from limo_ablate.verify.numerals import parse_number
from limo_ablate.verify.parser import parse
from limo_ablate.verify.remarks import circled_numbers, numbered_parts, without_remarks
from limo_ablate.verify.text import clean, flatten, words
from limo_ablate.verify.units import UNITS
from limo_ablate.verify.vocabulary import CHINESE_NUMBERS, FUNCTIONS, IGNORED_WORDS, LONE_WORDS, NUMBER_WORDS
from limo_ablate.verify.wording import yes_or_no


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    """The cleaned text."""
    node: Node | None
    problem: str | None
    """Why it was not parsed."""
    limited: bool = False
    """Whether it was not parsed because a limit was reached."""


_CHOICE = re.compile(
    r"(?:(?i:hence|thus|so|therefore),?\s+)?(?:(?i:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\s*(?:is\s*)?):?\s*|选项?\s*|[（(\[]\s*(?=[A-Ja-j]\s*[)）\]]))?"
    r"(?P<letters>[A-J](?:(?:\s*[,、]\s*|\s*(?:and|和)\s*|)[A-J])*)\s*[)）\]]?(?:\s*[.:：、．]|(?<=[)）\]])|选?项|(?=\s*(?:不是|而不是|not\s|non\s|pas\s|nicht\s))|\s+is\s+(?:the\s+)?(?:correct|right|true)\b|(?=\s*$))"
    r"\s*(?P<rest>.*)",
    re.DOTALL,
)
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s*(?:([aApP])\s*\.?\s*[mM]?\s*\.*|o'clock|hours)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = re.compile(
    rf"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?(?:(?P<m1>{_MONTH})\s+(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m2>{_MONTH}))(?:\s*,?\s*(?P<y>\d{{4}}))?"
    r"|(?P<y3>\d{4})[-/年](?P<m3>\d{1,2})[-/月](?P<d3>\d{1,2})日?",
    re.IGNORECASE,
)
_BASE = re.compile(
    r"\(?([0-9A-Za-z]*\d[0-9A-Za-z]*|[A-F]+)\)?\s*(?:_\s*\{?\s*\(?\s*(?:base\s*)?(\d{1,2}|[a-z]+)\s*\)?\s*\}?"
    r"|[\s(,]*(?:in\s+)?base[\s-]*(\d{1,2}|[a-z]+)\s*\)?)"
)
_DEFINITION = re.compile(
    r"([A-Za-z](?:_\{?\w+\}?|\^\{-1\})?'*)\s*\(\s*([a-zA-Z])\s*\)\s*=(?!=)(.*)", re.DOTALL
)
_SENTENCE = re.compile(r"(?=.*[A-Za-z]{2})[A-Za-z][A-Za-z'’-]*(?:[ ,]+[A-Za-z][A-Za-z'’-]*)+|[A-Za-z]{4,}")
_PHRASES: dict[str, Node] = {
    **dict.fromkeys(
        ("all real numbers", "all reals", "real numbers", "全体实数", "任意实数"), Symbol("Reals")
    ),
    **dict.fromkeys(("empty set", "空集"), SetOf(())),
}
_ORDINALS = {word: k for k, word in enumerate(
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth"], start=1)}  # fmt: skip
_EXCEPT = re.compile(
    r"(?:for\s+)?(?:all|any|every)\s+(?:real\s+)?(?:numbers?|reals|values)?(?:\s+of)?\s*[a-z]?,?\s*"
    r"(?:except|excepting)\s+(?:for\s+)?(?:when\s+)?(.{1,80})"
)
_FRACTION_WORDS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6,
                   "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}  # fmt: skip
_CONGRUENT = re.compile(
    r"(?:(?:those|all|the|integers?|numbers?|values?|that|which|are|n)\s+)*congruent\s+to\s+"
    r"(\d{1,9}(?:\s*(?:,|or|and)\s*\d{1,9})*)\s*,?\s*\(?mod(?:ulo)?\s*(\d{1,9})\)?"
)
_LONE = re.compile(r"[A-Za-z][a-z]{1,2}|[A-Z]{2,3}")
_CODE = re.compile(r"(?:[A-Z][a-z]?\d*){2,8}")
"""KES, TP53, H2O: a name that is a whole answer is no product of letters."""
_NUMBERED = re.compile(r"[A-Z][a-z]|[A-Za-z]{1,5}\d{1,4}")
"""Ca, p53, T1."""
_DECIMAL_COMMA = re.compile(r"-?(?:0,\d+|\d+,(?:\d\d|\d{4,}))")
"""A list of two numbers, or one number with a decimal comma, which has more than one decimal."""
_MEASURED_COMMA = re.compile(
    r"(?:\\text\{(\w+)\}\s*)?-?(?:0,\d+|\d+,(?:\d\d?|\d{4,}))"
    r"(?:\s*\\?%|\s+([A-Za-z]+)|\s*\\(?:text|mathrm)\{\s*([A-Za-z]+)\s*\})?"
)
"""One with a unit, which is hardly a list: 12,80 euro, 3,5 km, 0,125 m."""
_FLOOR = re.compile(r"(?<!sqrt)(?:\\left\s*)?\[([^\[\],;]*?)(?:\\right\s*)?\]")
_RANGE = re.compile(r"(\d{1,6})-(\d{1,6})")
_LOWER_CHOICE = re.compile(
    r"(?:(?:option|choice)\s+\(?([a-j])\)?|\(?([a-j])\))\s*[.:]?\s*((?!\().*)", re.DOTALL
)
_CAPITAL = re.compile("[A-J]")
_GAPS = re.compile(r"[^\d.]+")
_SEPARATORS = re.compile(r"\s*(?:[,;、]|\band\b|和|以及)\s*")
_PLAIN = re.compile(r"([-+]?)(\d{1,40}(?:\.\d{1,40})?|\d{1,3}(,|\\,| )\d{3}(?:\3\d{3}){0,11}(?:\.\d{1,40})?)")
_FRACTION = re.compile(r"([-+]?)(?:\\[dt]?frac\{(\d{1,40})\}\{(\d{1,40})\}|(\d{1,40})/(\d{1,40}))")
"""Numbers that need no parser, which would read them alike."""
_CJK = re.compile(r"[\u2e80-\u9fff]")


@cached
def read_answer(text: str) -> Answer:
    """`text` in its most likely reading; never raises for what the text says."""
    cleaned = clean(text) if len(text) <= MAX_ANSWER else text
    return _first_reading(cleaned)


@cached
def other_readings(text: str, floors: bool, plain: bool) -> tuple[Answer, ...]:
    """Other readings of ambiguous notation: \\log as base 10, 2e-1 as 2e - 1, "1,250" as two numbers, 1,25 as
    1.25, "up" as u times p unless the other side is `plain`, letters and digits; with `floors`, where the
    other side has one, [n/2] as its floor."""
    cleaned = clean(text) if len(text) <= MAX_ANSWER else text
    found = []
    if "log" in cleaned and re.search(r"\\?\blog(?!\s*_)", cleaned):
        found.append(_mathematics(cleaned, log10=True))
    if "e" in cleaned.lower() and re.search(r"(?<![\d.])\d+[eE][+-]\d", cleaned):
        found.append(_mathematics(cleaned, scientific=False))
    if "," in cleaned and re.search(r"\d,\d{3}", cleaned) and not re.search(r"\d,0\d\d", cleaned):
        found.append(_mathematics(re.sub(r",(?=\d{3})", ", ", cleaned)))
    if "," in cleaned and (_DECIMAL_COMMA.fullmatch(cleaned) or _measured_comma(cleaned)):
        found.append(_mathematics(cleaned.replace(",", ".")))
    if floors and (bracketed := _FLOOR.sub(r"\\lfloor \1\\rfloor ", cleaned)) != cleaned:
        found.append(_mathematics(bracketed))
    if len(cleaned) < 40 and not plain and not cleaned[:1].isdigit() and is_lone_word(flatten(cleaned)):
        found.append(_mathematics(cleaned))
    return tuple(answer for answer in found if answer.node is not None)


def _measured_comma(text: str) -> bool:
    if not (match := _MEASURED_COMMA.fullmatch(text)):
        return False
    words = [word for word in match.groups() if word]
    return all(word in UNITS for word in words) if words else text.endswith("%")


def is_lone_word(flat: str) -> bool:
    """Whether an answer is a short word such as No, OK, N/A, which in a formula could be letters."""
    bare = flat.strip("(){}[] ")
    if _CODE.fullmatch(bare) and (len(bare) < 4 or any(c.isdigit() for c in bare)):
        return True
    if _NUMBERED.fullmatch(bare):
        return True
    return flat in ("n/a", "N/A") or bool(_LONE.fullmatch(bare) and bare.lower() in LONE_WORDS)


def read_choice(text: str) -> tuple[str, str] | None:
    """(letters, text after them) of a lettered option such as "B", "(B) 5", "C. text", "Option B"; else
    None."""
    if len(text) > MAX_ANSWER or not _CAPITAL.search(text):
        return None
    match = _CHOICE.fullmatch(flatten(clean(text)).replace("**", "").strip(" ."))
    if not match:
        return None
    letters = re.sub(r"[^A-J]", "", match["letters"].replace("and", ""))
    if letters == match["letters"] and sorted(letters) != list(letters):
        return None  # EI is a word
    return (letters, match["rest"].strip(" .")) if len(set(letters)) == len(letters) else None


def read_lower_choice(text: str) -> tuple[str, str] | None:
    """Like `read_choice` for "(b)", "b)" and "option b", which are options only beside a capital letter."""
    match = _LOWER_CHOICE.fullmatch(flatten(clean(text))) if len(text) <= MAX_ANSWER else None
    return ((match[1] or match[2]).upper(), match[3].strip(" .")) if match else None


def _words(text: str) -> Words:
    """`text` as words, with the items of a list such as "circle and line"."""
    parts = [words(part) for part in _SEPARATORS.split(flatten(text))]
    items = tuple(sorted(parts)) if 1 < len(parts) < 9 and all(parts) else ()
    return Words(words(text), items)


def _first_reading(text: str) -> Answer:
    if not text:
        return Answer(text, None, "it is empty")
    if len(text) > MAX_ANSWER:
        return Answer(text, None, f"more than {MAX_ANSWER} characters", limited=True)
    if match := _PLAIN.fullmatch(text):
        number = parse_number(_GAPS.sub("", match[2]))
        return Answer(text, negate(number) if match[1] == "-" else number, None)
    if match := _FRACTION.fullmatch(text):
        fraction = divide(parse_number(match[2] or match[4]), parse_number(match[3] or match[5]))
        return Answer(text, negate(fraction) if match[1] == "-" else fraction, None)
    formula = without_remarks(text)
    flat = flatten(formula)
    if not flat:
        return Answer(text, None, "it is empty")
    if (node := _special_reading(flat)) is not None:
        return Answer(text, node, None)
    if is_lone_word(flat):
        return Answer(text, Words(words(text)), None)
    if _SENTENCE.fullmatch(flat) and not _is_function(flat) and flat not in ("infinity", "infty"):
        return Answer(text, _words(text), None)
    answer = _mathematics(formula)
    if isinstance(answer.node, Words) and flat[0].isdigit() and "\\t" in formula:
        answer = _mathematics(flat)  # \text{12 people}
    if (answer.node is None or isinstance(answer.node, Words)) and not answer.limited:
        answer = _without_lead(text, flat) or answer
    if answer.node is None and not answer.limited and _is_mostly_words(flat):
        return Answer(text, _words(text), answer.problem)
    return answer


def _is_function(flat: str) -> bool:
    """Whether words are a function and its letters: arccosh x."""
    name, *letters = flat.split()
    return name.lower() in FUNCTIONS and all(len(letter) < 3 for letter in letters)


def _mathematics(text: str, *, scientific: bool = True, log10: bool = False) -> Answer:
    try:
        definition = _DEFINITION.fullmatch(text)
        if definition:
            body = parse(definition[3], scientific=scientific, log10=log10)
            if not isinstance(body, (Listing, Relation)):
                name = f"{definition[1].replace('^{-1}', '_inverse')}({definition[2]})"
                return Answer(text, Relation((Symbol(name), body), ("=",)), None)
        node = parse(text, scientific=scientific, log10=log10)
    except NotParsed as error:
        return Answer(text, None, str(error))
    except LimitReached as limit:
        return Answer(text, None, str(limit), limited=True)
    if _only_units(node) or _starts_with_noun(node):
        return Answer(text, Words(words(text)), None)
    return Answer(text, node, None)


def _only_units(node: Node) -> bool:
    return isinstance(node, Unit) or (isinstance(node, Mul) and all(map(_only_units, node.factors)))


def _starts_with_noun(node: Node) -> bool:
    """Whether a noun comes first: only words after a number name what is counted."""
    return isinstance(node, Mul) and isinstance(node.factors[0], Unit) and not node.factors[0].known


def _without_lead(text: str, flat: str) -> Answer | None:
    """The formula in "approximately 5" or "a total of 5"; None if the words before it add information."""
    match = re.match(r"((?:[A-Za-z.]+[,:]?\s+)+)(?=[^A-Za-z])|(?:一共|总共|共|大)?[有约]\s*(?=\d)", flat)
    if not match or (match[1] and not all(w.strip(",:.") in IGNORED_WORDS for w in match[1].lower().split())):
        return None
    answer = _mathematics(flat[match.end() :])
    return answer if answer.node is not None else None


def _is_mostly_words(flat: str) -> bool:
    """Whether text that can't be parsed is words rather than a broken formula."""
    letters = re.sub(r"\\[a-zA-Z]+", " ", flat)
    return bool(
        _CJK.search(flat) or re.search(r"[A-Za-z]{3,}", letters) or re.fullmatch(r"[A-Za-z]{2}", flat)
    )


def _special_reading(flat: str) -> Node | None:
    if "congruent" in flat and (match := _CONGRUENT.fullmatch(flat)):
        modulus = Number(Fraction(match[2]))
        rests = [Number(Fraction(rest)) for rest in re.findall(r"\d+", match[1])]
        found = tuple(Call("residue", (rest, modulus)) for rest in rests)
        return found[0] if len(found) == 1 else Listing(found)
    if "xcept" in flat and (match := _EXCEPT.fullmatch(flat)):
        return _reals_except(match[1])
    if "\\" in flat:
        return _base(flat) or ((parts := numbered_parts(flat)) and _parts(parts)) or None
    if flat[0].isdigit() and (node := _clock(flat)):
        return node
    if (match := _DATE.fullmatch(flat)) and (date := _date(match)):
        return date
    if numeral := _base(flat):
        return numeral
    if (numbers := circled_numbers(flat)) is not None:
        circled = tuple(Number(Fraction(number)) for number in numbers)
        return circled[0] if len(circled) == 1 else Listing(circled)
    if (parts := numbered_parts(flat)) and (nodes := _parts(parts)):
        return nodes
    if (match := _RANGE.fullmatch(flat)) and int(match[1]) < int(match[2]):
        return Words(flat)
    if truth := yes_or_no(flat):
        return Words(truth.lower())
    return _number_words(flat) or (_phrase(words(flat)) if flat[0].isalpha() and len(flat) < 40 else None)


def _reals_except(values: str) -> Node | None:
    """All reals except 5; None if `values` are no values."""
    node = _mathematics(re.sub(r"\b[a-z]\s*=", "", values)).node
    if node is None or isinstance(node, (Words, Relation)):
        return None
    return SetOperation(
        "setminus", (Symbol("Reals"), SetOf(node.items if isinstance(node, Listing) else (node,)))
    )


def _base(flat: str) -> Numeral | None:
    """2021_5, 2021 in base five."""
    match = _BASE.fullmatch(flat) if "base" in flat or "_" in flat else None
    if not match:
        return None
    base = match[2] or match[3]
    value = NUMBER_WORDS.get(base) or (int(base) if base.isdigit() else 0)
    return Numeral(match[1], value) if 2 <= value <= 36 else None


def _parts(parts: list[str]) -> Listing | None:
    """Numbered parts as named values: (1) = 3, (2) = 5."""
    nodes = [_first_reading(part).node for part in parts]
    if any(node is None for node in nodes):
        return None
    return Listing(
        tuple(Relation((Symbol(f"({k})"), node), ("=",)) for k, node in enumerate(nodes, 1) if node)
    )


def _phrase(text: str) -> Node | None:
    """All real numbers, empty set, one half, three quarters."""
    if text in _PHRASES:
        return _PHRASES[text]
    top, _, part = text.rpartition(" ")
    if part.removesuffix("s") in _FRACTION_WORDS and (top in NUMBER_WORDS or not top):
        return (
            Number(Fraction(NUMBER_WORDS.get(top, 1), _FRACTION_WORDS[part.removesuffix("s")]))
            if top or part == "half"
            else None
        )
    return None


def _clock(flat: str) -> Clock | None:
    match = _CLOCK.fullmatch(flat)
    spoken = "o'clock" in flat
    if not match or not (match[2] or spoken or (match[4] and "m" in flat.lower())) or "hours" in flat:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.group(1, 2, 3))
    if hours > 24 or minutes > 59 or seconds > 59:
        return None
    return Clock(
        Fraction(hours * 60 + minutes) + Fraction(seconds, 60), match[4].lower() + "m" if match[4] else None
    )


def _date(match: re.Match[str]) -> Date | None:
    year = match["y"] or match["y3"]
    month = match["m3"] or str(_MONTHS.index((match["m1"] or match["m2"]).lower()[:3]) + 1)
    day = match["d1"] or match["d2"] or match["d3"]
    date = Date(int(year) if year else None, int(month), int(day))
    return date if 1 <= date.month <= 12 and 1 <= date.day <= 31 else None


def _number_words(flat: str) -> Number | None:
    """Twenty-five, three hundred, 三."""
    if (
        flat[0] in CHINESE_NUMBERS
        and flat[1:] not in CHINESE_NUMBERS
        and (len(flat) == 1 or _CJK.fullmatch(flat[1:]))
    ):
        return Number(Fraction(CHINESE_NUMBERS[flat[0]]))
    if ordinal := _ORDINALS.get(flat.lower().removeprefix("the ")):
        return Number(Fraction(ordinal))
    parts = flat.lower().replace("-", " ").replace(" and ", " ").split()
    if not parts or len(parts) > 8 or not all(part in NUMBER_WORDS for part in parts):
        return None
    total = current = 0
    for part in parts:
        value = NUMBER_WORDS[part]
        if value >= 1000:
            total, current = total + max(current, 1) * value, 0
        else:
            current = max(current, 1) * value if value == 100 else current + value
    return Number(Fraction(total + current))
