"""Cleans an answer's text before it is parsed: removes wrappers and decoration, or reduces it to words."""

from __future__ import annotations

import re

from limo_ablate.verify.cache import cached
from limo_ablate.verify.characters import to_ascii
from limo_ablate.verify.vocabulary import LONE_WORDS, SHORT_WORDS, SYNONYMS

_DOLLARS = re.compile(r"(?<!\\)\$+|(?<!\\)\\[()\[\]]")
_INVISIBLE = re.compile(
    r"\\(?:phantom|hphantom|vphantom|tag|label|color|hspace|vspace)\*?\s*\{[^{}]*\}|\\textcolor\{\w+\}"
)
_DOUBLED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|left|right|sqrt|text|pi|leq?|geq?|in|infty|boxed|cup|cap|mathbb|mathrm|times|cdot"
    r"|pm|neq?|theta|alpha|circ|begin|end|lfloor|rfloor|[bB]igg?[lr]?)(?![a-z]))"
)
"""The backslash of a command that was escaped twice on its way; in a matrix, a row's end has a third."""
_QUAD = re.compile(r"\\q?quad(?=[a-zA-Z])")
_COMPOUND = re.compile(
    r"(?<=\d)(\s*(?:\\(?:text|mathrm)\s*\{\s*)?(?:hours?|hrs?|h|minutes?|mins?|days?|weeks?|years?|feet|foot|ft|yards?|pounds?|lbs?"
    r"|degrees?)[\s}]*)(?:,\s*(?:and)?|(?:\\text\s*\{\s*)?and)(?=\s*\}?\s*\d+\s*(?:\\(?:text|mathrm)\s*\{\s*)?"
    r"(?:minutes?|mins?|seconds?|secs?|hours?|days?|months?|inch|ounce|oz))(?:\s*\})?"
)
"""2 hours and 30 minutes: one quantity."""
_AND_NUMBER = re.compile(r"(?<=\d)(\s*\\text\s*\{[^{}\d]{0,60}?)\s+and\s*\}\s*(?=\d)")
"""5 \\text{ cats and } 3 \\text{ dogs}: the word joins two values."""
_RAISED = re.compile(r"<sup>([^<]{1,40})</sup>")
_THIN_COMMA = re.compile(r"(?<=\d)\s?\{\s?,\s?\}\s?(?=\d{3})")
_NEXT_LINE = re.compile(r"(?<=[^$]\$)\n\s*\$(?!\$)")
"""Formulas in lines of their own are several values."""
_STRAY_POINT = re.compile(r"(?<=\})\.(?=\s*[\])])")
_SPELLINGS = (
    ("\\\\", _DOUBLED, r"\\"),
    ("quad", _QUAD, " "),
    ("hour", _COMPOUND, r"\1 "),
    (" and", _COMPOUND, r"\1 "),
    (" and", _AND_NUMBER, r"\1}, "),
    ("$\n", _NEXT_LINE, ", $"),
    ("<sup>", _RAISED, r"^{\1}"),
    ("}.", _STRAY_POINT, ""),
    ("}", _THIN_COMMA, ","),
)
"""A text that must be there, what is then replaced, and by what."""
_PRIMES = re.compile(r"\^\s*\{?\s*((?:\\prime\s*)+)\}?")
_BOXED = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{(.*)\}", re.DOTALL)
_LEAD = re.compile(
    r"(?:==?>|=|\\Rightarrow|\\implies)\s*(?=[^\s=])|\\triangle\s+|(?:\\text\{\s*only\s*\}|only)\s*(?=[a-z]\s*=)|(?:so|thus|therefore|hence),\s*|(?:(?:so|thus|therefore|hence)[,\s]+)?(?:the\s+)?(?:final\s+|correct\s+)?answers?\s*(?:is|are|:|=)\s*(?=\S)"
    r"|\\text\{\s*(?:the\s+)?(?:final\s+)?answers?\s*(?:is)?\s*:?\s*\}\s*:?|答案?\s*[:是为]+\s*",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"\s*(?:\\text\{\s*)?\((?:about|approximately|approx\.?|i\.e\.|since|because)[^()]*\)\s*\}?$"
)
"""An approximate value, or a reason, in parentheses after the answer."""
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mbox|mathrm|mathbf|mathsf|mathit|mathcal|bf|rm|operatorname|emph|hbox"
    r"|boldsymbol|bm|underline)\s*\{([^{}]*)\}"
)
_DICTIONARY = re.compile(r"'((?:[^'\\]|\\.)*)'\s*:\s*'((?:[^'\\]|\\.)*)'")
"""A gold answer of several parts, printed as a Python dictionary: its values are the answers."""
_PRINTED_LIST = re.compile(r"""\[\s*(?:(['"])[^'"]*\1\s*(?:,\s*)?)+\]""")
_PRINTED_ITEM = re.compile(r"""['"]([^'"]*)['"]""")
"""A gold answer printed as a list of texts: ['42']."""
_ALIGNED = re.compile(
    r"\$*\s*\\begin\{(?:align|aligned|gather|equation|split|multline)\*?\}(.*?)\\end\{\w+\*?\}\s*\$*",
    re.DOTALL,
)
_ROW_END = re.compile(r"\\\\(?=\s*&?\s*=)")
"""The end of a row of a calculation that goes on in the next."""
_SPACES = re.compile(r"\s+|\\[,;:! ]|~")
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_BLANKS = re.compile(r"\s+")
_FORMULA = re.compile(r"[=<>^]|\\(?!text|mathrm|rm)[a-z]")
_LONG_WORD = re.compile(r"[A-Za-z]{2,}|\bA(?= [a-z]{2})")
"""What has no case in words beside a formula, whose letters have."""
_HAN = re.compile(r"[\u2e80-\u9fff]")
_SQUEEZED = re.compile(
    r"\s+|\\(?:left|right|displaystyle|big|Big|bigg|Bigg)(?![a-zA-Z])\.?"
    r"|\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|(?<=\d)\{,\}(?=\d{3})"
)
_GAP = re.compile(r"(?<=\d)(?:\s|~|\\[,;:! ]|\\q?quad(?![a-zA-Z]))+(?=\d)")
"""Space between digits, which matters: 7 3/5 is not 73/5."""
_FRAC_STYLE = re.compile(r"\\[dtc]frac")
_SHORT_FRAC = re.compile(r"\\frac(\d)(\d)")
_PUNCTUATION = re.compile(r"[^\w\s+\-/*=<>^.%°]|(?<!\d)\.|\.(?!\d)|_")
_ARTICLE = re.compile(r"\b(?:a|an|the)\s+|^(?:on|at|in)\s+")


@cached
def clean(text: str) -> str:
    """`text` as ASCII and LaTeX, without math delimiters, boxes, emphasis and closing punctuation."""
    text = to_ascii(text).strip().replace("{:}", ":")
    for sign, pattern, new in _SPELLINGS:
        if sign in text:
            text = pattern.sub(new, text)
    if "\\prime" in text:
        text = _PRIMES.sub(lambda match: "'" * match[1].count("p"), text)
    if text.startswith("{'") and (items := _DICTIONARY.findall(text)):
        text = ", ".join(value.replace("\\\\", "\\") for _, value in items)
    elif text.startswith(("['", '["')) and _PRINTED_LIST.fullmatch(text):
        text = ", ".join(_PRINTED_ITEM.findall(text))
    if "\\begin{" in text and (block := _ALIGNED.fullmatch(text)):
        rows = _ROW_END.sub(" ", block[1])
        text = text if "\\\\" in rows else rows.replace("&", "")
    text = _INVISIBLE.sub("", text) if "\\" in text else text
    text = _DOLLARS.sub(" ", text) if "$" in text or "\\" in text else text
    text = _ends(_REMARK.sub("", text) if text.endswith((")", ")}")) else text)
    while "\\" in text and (box := _BOXED.fullmatch(text)):
        text = _ends(box[1])
    return _ends(_LEAD.sub("", text, count=1)) if _LEAD.match(text) else text


def keys_of(text: str) -> list[str]:
    """The keys of an answer that is printed as a Python dictionary."""
    return [squeeze(key) for key, _ in _DICTIONARY.findall(text)] if text.startswith("{'") else []


_END_MARKS = frozenset(' \t\n\r\v\f,;`.*_"\\!^')
"""Characters that one of the marks below begins or ends with."""


def _ends(text: str) -> str:
    """`text` without emphasis marks, quotes and punctuation at its ends."""
    if text and text[0] not in _END_MARKS and text[-1] not in _END_MARKS:
        return text
    before = None
    while before != text:
        before = text
        text = text.strip(" \t\n,;`").strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
        for mark in ("**", "__", '"', "*"):
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)]
        for end in ("\\\\", "\\,", "\\!", "\\;", "\\", "^"):
            text = text.removesuffix(end)
    return text.removesuffix("**").removeprefix("**")


def squeeze(text: str) -> str:
    """A canonical spelling of a formula: without spaces and size commands, with one kind of fraction."""
    if text.isalnum():
        return text
    if _SQUEEZED.search(text):
        text = _SQUEEZED.sub("", _GAP.sub("\0", text))
    text = (
        text.replace("\\ldots", "...").replace("\\dots", "...").replace("\\cdots", "...")
        if "dots" in text
        else text
    )
    if text.count("\\frac{") < text.count("frac"):
        text = _SHORT_FRAC.sub(r"\\frac{\1}{\2}", _FRAC_STYLE.sub(r"\\frac", text))
    return text


def flatten(text: str) -> str:
    """`text` without \\text{...} and other wrappers of words."""
    for _ in range(3):
        if "\\" not in text:
            break
        text = _WRAPPED.sub(r" \1 ", text)
    return text if text.isalnum() else _SPACES.sub(" ", text).strip()


_CODE = re.compile(r"[A-Z]{2,3}")
_FORMULA_OF_ATOMS = re.compile(r"(?=.*\d)(?:\(?(?:[A-Z][a-z]?\d*){1,4}\)?\d*){1,8}")
_SUBSCRIPT = re.compile(r"[\s_{}]")
_WORDS_IN_CAPITALS = SHORT_WORDS | LONE_WORDS | frozenset(SYNONYMS)


def words(text: str) -> str:
    """`text` as plain words: lower case, without punctuation and articles, synonyms unified."""
    plain = _COMMAND.sub(r" \1 ", flatten(text))
    if "_" in plain and _FORMULA_OF_ATOMS.fullmatch(atoms := _SUBSCRIPT.sub("", plain)):
        return atoms.lower()
    if _CODE.fullmatch(plain) and plain.lower() not in _WORDS_IN_CAPITALS:
        return plain
    lower = _LONG_WORD.sub(lambda word: word[0].lower(), plain) if _FORMULA.search(text) else plain.lower()
    plain = _ARTICLE.sub("", _PUNCTUATION.sub(" ", lower.replace("'", "")))
    plain = _BLANKS.sub(" ", plain).strip(" .")
    if _HAN.search(plain):
        plain = plain.replace(" ", "")
    return SYNONYMS.get(plain, plain)
