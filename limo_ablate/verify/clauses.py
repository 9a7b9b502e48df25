"""Reads the value that a clause or a sentence states: "The largest $n$ is 34, not 35" states 34."""

from __future__ import annotations

import re
from typing import NamedTuple

from limo_ablate.verify.boxes import BETWEEN
from limo_ablate.verify.units import UNITS

FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(?!\$)([^$\n]+?)(?<!\\)\$(?!\d)", re.DOTALL
)
NUMBER = re.compile(
    r"[(\[]\s*-?[\w./\\]+(?:\s*,\s*-?[\w./\\]+)+\s*[)\]]|(?<![A-Za-z0-9_.\\^{/,])[-−]?(?:\\?[$€£¥₹]\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
    r"(?:\s?/\s?\d+|(?::\d+)+)?(?:\s?\\?%)?(?![^\W_\u2e80-\u9fff])|(?<![A-Za-z0-9_.])[-−]?\.\d+"
    r"|[-−]?\\[dtc]?frac\{\d+\}\{\d+\}"
)
_WORD = re.compile(r"\\?[^\W\d_\u2e80-\u9fff]{2,}|[\u2e80-\u9fff]{1,2}")
_HAN = re.compile(r"[\u2e80-\u9fff]")
_UNIT = re.compile(
    r"\s*(?:(?:square|cubic)\s+)?([A-Za-z]+(?:/[A-Za-z]+)?|[\u2e80-\u9fff]{1,2})(?:\^?[23²³])?"
    r"(?![^\W_\u2e80-\u9fff])"
)
_NO_UNITS = frozenset(("in", "A", "C", "I"))
_UNIT_WORDS = frozenset(("percent", "degrees", "degree"))
_ADVERBS = frozenset(
    (
        *("old", "left", "more", "less", "each", "total", "altogether", "long", "wide", "tall", "high"),
        *("away", "now", "again", "only", "remaining", "together", "overall"),
    )
)
_ASSERTS = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|has|have|that\s+is|namely|i\.e\.|g[eo]ts?|gives|becomes|costs?|totals?|weighs?"
    r"|yields?|remains?|obtain|there\s+(?:are|is)|left\s+with|ends?\s+up\s+with|total\s+of|comes\s+(?:out\s+)?to"
    r"|takes?|took|needs?|pays?|paid|earns?|earned|spends?|spent|saves?|saved|makes?|made|(?:can|will)\s+[a-z]+"
    r"|amounts\s+to|works\s+out\s+to|(?:arrives?|starts?|leaves?|ends?|begins?)\s+at)"
    r"|等于|得到|[为是有得共]|(?<=\w\w)[:：])[,:：]?\s*"
    r"(?:(?:also|still|about|only|exactly|just|simply|now|then|thus|therefore|hence|equal\s+to|a\s+total\s+of|the"
    r"|number)\s+)*(?:\*\*)?\s*$",
    re.IGNORECASE,
)
REMARK = re.compile(
    r"\s*\((?=(?:[^()]*[^\W\d_]){4})(?:and\s+not|not|since|because|as|so|where|the\s+other|which|note|recall|rather|instead"
    r"|i\.e\.|that\s+is|about|approximately|approx\.?)\b[^()]{0,200}\)",
    re.IGNORECASE,
)
"""What is added in parentheses to a value: "5 (and not 6, as it may seem)"."""
_DENIED = re.compile(r"(?:it(?:'s|\s+is)\s+)?(?:not|neither)\b", re.IGNORECASE)
_CONTRAST = re.compile(
    r"(?:\bbut|\bit\s+is|\bit's|而是)\s+(?:it\s+is\s+)?(?:rather\s+|instead\s+|actually\s+)?(.+)",
    re.IGNORECASE | re.DOTALL,
)
_HEDGED_BEFORE = re.compile(
    r"\b(?:not|except|excluding|unless|either|neither|possibly|maybe|perhaps|between(?=\s*$)|at\s+least|at\s+most"
    r"|(?:more|less|fewer|greater|larger|smaller|other|rather)\s+than|without|any|never|cannot|impossible|exceeds?"
    r"|close\s+to|(?:multiples?|divisors?|factors?|powers?)\s+of|divisible\s+by|(?:ends?|begins?|starts?)\s+(?:in|with)"
    r"|one\s+of|(?:one|a)\s+possible|fail(?:s|ed)?|reject(?:s|ed)?|excludes?|discard(?:s|ed)?|rules?\s+out|nonzero|hardly"
    r"|nowhere|undefined|infinite|reach(?:es)?|above|below|beyond|up\s+to|wrong|incorrect|doubt)\b|n['’]t\b|除了|不是|(?:[<>≠≤≥]=?|!=|\\neq?)\s*$"
    r"|\b(?:might|may|could)\s+(?:\w+\s+)?(?:be\s*)?$",
    re.IGNORECASE,
)
_HEDGED_BEHIND = re.compile(
    r"\A[^,.;]{0,30}\b(?:(?:does|do|did|is|are)\s*(?:not|n['’]t)|cannot|fails?|as\s+an?|works)\b"
    r"|\A\W*(?:is|was)\s+(?!the\b|our\b|my\b|left\b|needed\b|required\b|remaining\b|enough\b)"
    r"|\A\W*(?:raised|over|choose|factorial|with\s+probability|to\s+the\s+(?!nearest)|times|plus|minus|(?:more|less|fewer|greater)\s+than|multiplied|divided|squared|cubed|percent\s+of)\b"
    r"|\A\W*(?:which|and\s+(?:this|that|it))\s+is\s+(?:impossible|absurd|wrong|incorrect|false|a\s+contradiction)\b"
    r"|\b(?:or|except|excluding|unless|otherwise|but|depend(?:s|ing)|if|so\s+on|etc)\b|除了|或",
    re.IGNORECASE,
)
_QUESTION = (
    "find|compute|calculate|determine|evaluate|simplify|solve|express|what|how|which|who|if|let|suppose|assume|given"
    "|consider|prove|show|write|state|give|expand|factor|convert|round|add|subtract|multiply|divide|graph|enter|list"
    "|order|rationali[sz]e|name|use|fill|draw|answer|choose|select|identify|estimate|complete|approximate|reduce|note"
    "|recall|remember|try|is|are|does|do|did|can|will|would|when|where|why|求|若|如果|设|已知|计算|化简|解方程"
)
_COMMANDS = (
    "Find|Compute|Calculate|Determine|Evaluate|Simplify|Express|Solve|Factor|Fully|Completely|Expand"
    "|Rationalize|Convert|Write|Complete|Reduce|Round|Add|Subtract|Multiply|Divide|Graph|Prove"
)
"""Verbs with which a problem begins, capital in the middle of a sentence too where it is quoted."""
_ASKS = re.compile(
    rf"^\W*(?:(?:completely|fully|please|now|then|next|first|and)\s+)?(?:{_QUESTION})\b|^\W*[求若设]|[:;,]\s*(?:please\s+)?(?:find|compute|calculate|determine|evaluate|simplify"
    r"|express|what|how|which\s+of|solve)\b|\b(?:need|want|have|asked|going|try|trying|required|wants?|goal\s+is|task\s+is)"
    r"\s+(?:us\s+|me\s+)?(?:to\s+)(?:find|compute|calculate|determine|evaluate|simplify|express|solve|know|figure)\b"
    r"|\b(?:must|should|will|let\s+me|let\s+us|let's)\s+(?:first\s+)?(?:find|compute|calculate|determine|figure|restate|rephrase|recall)\b"
    r"|\b(?:I|we|let's|will|us)\s+(?:will\s+)?(?:assume|suppose|try|guess)\b"
    r"|\b(?:problem|question|exercise)\s+(?:has|is|involves|concerns|says|states|tells|asks|gives|mentions)\b|\b(?:are|am|were|we're|I'm)\s+(?:told|given|asked)\b"
    rf"|(?-i:\b(?:{_COMMANDS})\b)|[?？]|多少|几个|什么|求[^得出]",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"^\W*(?:so|therefore|thus|hence|finally|in\s+total|altogether|in\s+all|in\s+conclusion|consequently|this\s+means"
    r"|we\s+(?:get|have|find|obtain|conclude)|∴|因此|所以|故|综上|从而|于是|即|答)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\b(?:step|part|case|question|problem|exercise|example|equation|eq\.?|section|lemma|theorem|claim|method)s?"
    r"\s*[#(]?\s*\Z",
    re.IGNORECASE,
)
"""What a number after it counts: "Step 1" has no value."""
_COMPUTED = re.compile(r"\d[^=\d]{0,20}[-−+*/x×÷][^=]{0,80}=\s*[-−$€£]{0,2}\d[\d.,]*[^=\d]*\Z")
_NAME = re.compile(r"\(?[A-Za-z](?:_?\d)?")
TOTAL = re.compile(r"(?:total|sum|altogether|final|answer|result|difference|profit)", re.IGNORECASE)
_NAMES_ANSWER = re.compile(r"\bis\s+(?:the|our|my)\s+(?:final\s+|correct\s+)?(?:answer|result)\W*\Z")
_EQUATION = re.compile(r"((?!!=)[^\s=]*[^\s=<>~≠])\s*=\s*$")


class Value(NamedTuple):
    start: int
    end: int
    text: str
    formula: bool


def formula_text(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).strip()


def values(text: str) -> list[Value]:
    """The formulas, and the numbers outside them that are no labels, in their order."""
    found, at = [], 0
    for match in [*FORMULA.finditer(text), None]:
        until = match.start() if match else len(text)
        found += [
            Value(number.start(), number.end(), number[0], False)
            for number in NUMBER.finditer(text, at, until)
            if not _LABEL.search(text, max(0, number.start() - 20), number.start())
        ]
        if match:
            found.append(Value(match.start(), match.end(), formula_text(match), True))
            at = match.end()
    return found


def read_clause(clause: str) -> str | None:
    """The answer in the clause after an answer phrase; None if the clause only denies one or asks for it.

    A short clause is the answer as it stands; in a longer one, the value that it asserts. If that is
    unclear, all of the clause, which can then equal no value.
    """
    if _DENIED.match(clause):
        contrast = _CONTRAST.search(clause)
        return read_clause(contrast[1]) if contrast else None
    if is_question(clause):
        return None
    found = values(clause)
    words = prose(clause)
    if not found:
        return clause
    if clause.startswith("that "):
        return _asserted(clause, found) or _only_group(clause, found) or clause
    leads = not clause[: found[0].start].strip("*( ")
    if leads and len(words) <= 2 and not _ADVERBS & set(words):
        return clause
    if words and is_computed(clause) and (equation := _equation(clause, found)):
        return equation
    if asserted := _asserted(clause, found):
        return asserted
    if len(words) <= 4 and not (_HAN.search(clause) or (leads and words and not found[0].formula)):
        return clause
    return _only_group(clause, found) or clause


def read_sentence(sentence: str, earlier: str) -> str | None:
    """The answer in the sentence that ends a text, if it is a statement with one value.

    A value that no verb asserts counts if the sentence draws a conclusion, or if `earlier` computes it.
    """
    sentence = REMARK.sub("", sentence)
    if is_question(sentence) and not is_computed(sentence):
        return None
    found = values(sentence)
    if not found:
        return None
    if equation := _equation(sentence, found):
        return equation
    if asserted := _asserted(sentence, found, last=True):
        return asserted
    group = _only_group(sentence, found)
    if group is None:
        return None
    last = found[-1]
    ends = not sentence[last.end :].strip(" .。*\n")
    computed = re.search(rf"(?:=|\bis|\bare)\s*\W?{re.escape(last.text)}(?![\d])", earlier)
    return (
        group
        if _CONCLUDES.match(sentence)
        or (last.formula and ends and "=" in last.text)
        or computed
        or _NAMES_ANSWER.search(sentence)
        else None
    )


def is_hedged(text: str) -> bool:
    return bool(_HEDGED_BEFORE.search(text) or _HEDGED_BEHIND.search(text))


def is_question(sentence: str) -> bool:
    """Whether a sentence, or its last line, asks for something or sets a problem."""
    last_line = sentence.rstrip().rpartition("\n")[2]
    return bool(_ASKS.search(sentence) or _ASKS.search(last_line))


def is_computed(sentence: str) -> bool:
    """Whether a sentence ends in a calculation with numbers: "If she has $5, she needs 9 - 5 = $4 more"."""
    return bool(_COMPUTED.search(sentence)) and "?" not in sentence


def is_label(text: str) -> bool:
    """Whether a text ends in a word that counts something, and its number or letter: Step 1."""
    return bool(_LABEL.search(re.sub(r"(?:\d+|[A-Za-z])\s*\Z", "", text)))


def is_bare(line: str) -> bool:
    """Whether a line is a value and nothing else."""
    return bool(values(line)) and not prose(line)


def is_number(line: str) -> bool:
    return bool(NUMBER.fullmatch(line.strip(" *.$")))


def prose(text: str) -> list[str]:
    """The words outside formulas, except units; two Chinese characters count as a word."""
    text = FORMULA.sub(" ", text)
    words = (word for word in _WORD.findall(text) if word[0] != "\\")
    return [word.lower() for word in words if word not in UNITS and word not in _UNIT_WORDS]


def _asserted(text: str, found: list[Value], *, last: bool = False) -> str | None:
    """The values behind "is", "are", "equals", ...; None if there are none, or if they are hedged.

    With `last`, also None if another value follows them.
    """
    groups = [
        group
        for group in _groups(text, found)
        if (verb := _ASSERTS.search(text[: group[0].start])) and verb.start()
    ]
    if not groups or (last and groups[-1][-1] != found[-1]):
        return None
    start, end = groups[0][0].start, groups[-1][-1].end
    if _HEDGED_BEFORE.search(text[:start][-60:]) or _HEDGED_BEHIND.search(text[end:]):
        return None
    return ", ".join(dict.fromkeys(_with_unit(text, value) for group in groups for value in group))


def _only_group(text: str, found: list[Value]) -> str | None:
    """The values of a text that has one group of them, unhedged."""
    groups = _groups(text, found)
    if len({tuple(value.text for value in group) for group in groups}) != 1:
        return None
    group = groups[0]
    if _HEDGED_BEFORE.search(text[: group[0].start]) or _HEDGED_BEHIND.search(text[group[-1].end :]):
        return None
    return ", ".join(_with_unit(text, value) for value in group)


def _groups(text: str, found: list[Value]) -> list[list[Value]]:
    """Values that only "and", "or" and commas separate belong together."""
    groups: list[list[Value]] = []
    for value in found:
        between = text[groups[-1][-1].end : value.start] if groups else ""
        if groups and between.strip() and BETWEEN.fullmatch(between[:40]):
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups


def _with_unit(text: str, value: Value) -> str:
    unit = _UNIT.match(text, value.end)
    if not unit or (value.formula and "=" in value.text):
        return value.text
    name = unit[1].partition("/")[0]
    known = (name in UNITS or name.lower() in UNITS or name in _UNIT_WORDS) and name not in _NO_UNITS
    if len(name) == 1 and name.isascii() and text[unit.end() :].strip(" .*"):
        known = False
    return value.text + (text[value.end : unit.end()] if known else "")


def _equation(sentence: str, found: list[Value]) -> str | None:
    """What the last "=" outside formulas states: the value behind it, if numbers or a name stand before it.

    Otherwise the whole equation, since one side of an equation with letters is no value.
    """
    sides = [(value, match) for value in found if (match := _EQUATION.search(sentence[: value.start]))]
    if not sides:
        return None
    last, left = sides[-1]
    if _HEDGED_BEHIND.search(sentence[last.end :]) or _HEDGED_BEFORE.search(
        re.split(r"[,;]\s", sentence[: left.start()])[-1]
    ):
        return None
    before = _mathematics_before(sentence[: left.end()])
    if re.search(r"[A-Za-z]\s*[-+*/^]|[-+*/^]\s*[A-Za-z]|\d[a-z]\b", before):
        return f"{before}{last.text}"
    words = [match[1] for _, match in sides if len(match[1]) > 1 and match[1].isalpha()]
    if 1 < len(words) == len(sides) and not TOTAL.match(words[-1]):  # length = 7, width = 4
        return ", ".join(_with_unit(sentence, value) for value, _ in sides)
    named = [(match[1], value) for value, match in sides if _NAME.fullmatch(match[1])]
    if len(named) > 1 or (named and len(sides) == 1):
        return ", ".join(f"{name.strip('(')} = {value.text}" for name, value in named)
    return _with_unit(sentence, last)


def _mathematics_before(text: str) -> str:
    """The end of a text without words."""
    words = text.split(" ")
    first = next((at for at in range(len(words), 0, -1) if _WORD.search(words[at - 1])), 0)
    return " ".join(words[first:])
