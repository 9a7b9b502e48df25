"""Finds answers that are stated in words: by an answer phrase, or by the sentence that ends the text."""

from __future__ import annotations

import re

from limo_ablate.verify.clauses import REMARK, TOTAL, read_clause, read_sentence
from limo_ablate.verify.limits import MAX_SENTENCE
from limo_ablate.verify.premises import only_given, statement
from limo_ablate.verify.values import FORMULA, is_bare, is_computed, is_label, is_number, prose, values
from limo_ablate.verify.wording import (
    CORRECTED,
    DENIED,
    DENIES,
    REJECTED,
    RETRACTED,
    SUPPOSED,
    TOOL,
    is_hedged,
    is_imagined,
    is_question,
    yes_or_no,
)

PHRASE = re.compile(
    r"""(?:
      \#\#\#\#\s* (?!\#)
    | (?:final\s+|correct\s+)? \b(?:answers?|ans|choice|option)\b
        (?: \s+ to \s+ (?:the|this) \s+ (?:problem|question) )?
        \W{0,4} (?: \s*(?:is|are|=|:|：|would\s+be|must\s+be|equals)\s* \W{0,3}? )+
        (?:thus|therefore|simply|option|choice)?
    | \bans\.\s+ | (?:final\s+)?\banswer,\s+ (?=\W{0,2}-?\d[\d.,/]*\W*$)
    | (?:^|\n|\.\s) [\W_]{0,6} (?:(?:the\s+)?final\s+)? answer [*_\s:：]*
        (?=\n|\$|\\[(\[]|-?\d[\d.,/]*\s*(?:\n|$))
    | (?:^|\n) [ \t]* (?:\*\*)? (?-i:A) \s* [:：] (?:\*\*)? (?!.{0,400}\n\s*(?:\*\*)?B\s*[:：.)])
    | (?:最终)?(?:答案|正确选项|结果)(?:应该|应|就)?\s*(?:是|为|选|:|：)+\s*
    | 【答案】\s*[:：]?\s* | (?:故|应|因此|所以|答案|本题)?选(?!项)择?\s*[:：]?\s* | 故答案为\s*[:：]?\s*
    | (?<![回解作])答\s*[:：]\s*
    | \b(?:Ответ|Antwort|Lösung|Ergebnis|Respuesta|Solución|Resultado|Réponse|Résultat
        |Risposta|Risultato|Resposta|Odpowiedź
        |Đáp\s+án|Cevap|Antwoord)\b (?:\s+(?:final|finale|correcta|correcte|corretta|correta)\b)?
        (?:\s*(?:[:：]|\b(?:ist|lautet|es|est|è|é|to|равен|là)\b))+\s*
    | (?:정답|답|答え)\s*(?:[:：]|은|는|は)\s* | (?:الجواب|الإجابة|उत्तर)\s*(?:[:：]|هو|هي|है)\s*
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_KEYWORD = re.compile(
    r"####|[Aa]ns|ANS|[Cc]hoice|CHOICE|[Oo]ption|OPTION|A[ \t]*:|A\*\*|[Aa]ntwo|[Rr]esp"
    "|[Rr]isp|[Cc]evap|[Ee]rgebnis|[Rr]esult"
)
"""What every phrase in ASCII contains; finding it is cheap."""
_SENTENCE_START = re.compile(r"[.!?\n。]")
_BREAKS_OFF = re.compile(
    r"(?:,|\b(?:and|or|but|so|then|the|an?|of|to|we|is|are|with|for|by|that|which|when|where))\s*\Z"
)
_CLAUSE_END = re.compile(
    r"\n\s*\n|\n(?=\s*[A-Z*#\\【-])|\.(?=\s+[A-Z])|\.\s*$|[。；！]|(?<=[\d$)}])(?:입니다|이다|です|である)|(?<=[?？])(?=\s)"
    r"|,?\s+(?:because|since|(?P<which>which)|as\s+required|of\s+the|so\s+that|I\s+hope|rather\s+than|instead\s+of)\b"
    r"|</\w|,\s+(?:not|as\s+(?:expected|desired|claimed|needed|stated|shown|above)|though|although|while|whereas|so|using|rejecting|discarding)\b|(?P<remark>,\s+(?:it|this|they|he|she|we|I)\b)"
)
_CONDITION = re.compile(r"(?:In|For|When|With|By|At|On|From|Using|After|If|Since|As|Under)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"(?:(?:for\s+sure|surely|certainly|definitely|clearly|obviously|actually|indeed|simply|really|most\s+likely"
    r"|therefore|thus|then|hence|given\s+by|found\s+to\s+be|equal\s+to|option|choice"
    r"|the\s+(?:number|value|integer|fraction|expression|point|interval|set|function)(?=\s+[-\d$\\(\[]))[,:]?\s+)+",
    re.IGNORECASE,
)
_LETTER_AT_END = re.compile(
    r"(?:^|[\s*])\(?\**([A-J])\**\)\s*\**\.?\s*$"
    r"|\b([A-J])\**\)?\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|choice|option))?\.?\s*$"
    r"|\b(?:[Cc]hoose|[Ss]elect|[Pp]ick|go(?:ing)?\s+with|went\s+with)\s+(?:option\s+)?\(?\**([A-J])\b\**\)?\.?\s*$"
    r"|\b(?:so|therefore|thus|hence|I\s+think|must\s+be)\s+(?:I\s+think\s+)?(?:it's\s+|it\s+is\s+)?\(?\**([A-J])\b\**\)?\.?\s*$"
    r"|选?项?\s*([A-J])\s*(?:选?项)?(?:是|为)?(?:正确|对|符合|成立)(?:的|题意)?[。.]?\s*$"
)
_LABELS = re.compile(r"(?:^|\s)\W{0,3}([A-J])[).:](?=\W|\Z)", re.MULTILINE)
_LETTER = re.compile(r"\W*[A-J]\W*")
_COPULA = re.compile(r"\b(?:is|are|was|were)\s+(?:an?\s+|the\s+)?(\w+(?:\s\w+)?)\W*\Z")
_PLEASANTRY = re.compile(
    r"(?:I\s+hope|Hope|Let\s+me\s+know|Thank|Thanks|Have\s+a|Feel\s+free|Please\s+let|Good\s+luck|Is\s+there)\b[^.!?\n]*[.!?]*\s*$"
)
_TRUTH = re.compile(r"\b(?:statement|claim|assertion|proposition|conjecture|it)\s+is\s+(true|false)\W*\Z")
_NO_SOLUTION = re.compile(
    r"\b(?:there\s+(?:is|are|exists?)|has|have)\s+(no\s+(?:(?:real|integer|positive|such|valid|rational|possible)\s+)*solutions?)\W*\Z",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"\W*(yes|no|true|false)\W*", re.IGNORECASE)
_UNCLOSED = re.compile(r"\$[^$\n]*(?:\\[a-zA-Z]|[\^_])[^$\n]*\Z|\\[\[(](?!.*\\[\])]).*\Z", re.DOTALL)
"""A formula in which the text breaks off; an amount of money has none of its signs."""
_ODD_DOLLAR = re.compile(r"(?<!\\)\$[^.\n]*\Z")
_RESTATES = re.compile(
    r"\b(?:restat\w+|rephras\w+|re-?read\w*|given|(?:problem|question)\s+(?:is|says|states|asks|tells\s+us))\b[^.!?\n]*:\s*\Z",
    re.IGNORECASE,
)
"""What stands before a sentence of the question."""
LOOP = 40
"""Characters before the last sentence that occur often in a text that repeats itself."""
_SENTENCE_END = re.compile(
    r"(?:[.!?]|(?<!\s):)(?=\s)|[。！？：]|\n\s*\n|(?<=[\d$)%])\n(?=[A-Z][a-z])"
    r"|(?<=[\d$)%\]])[ \t](?=(?:Therefore|Thus|Hence|So),?[ ])"
)


def by_phrase(text: str, finished: bool = True) -> str | None:
    """The last answer that a phrase states: "the answer is", "#### x", "**Answer:**", "答案是".

    In a text that is not `finished`, one at its very end may be the beginning of another.
    """
    begins = 0
    if text.isascii():
        keyword = _KEYWORD.search(text)
        if not keyword:
            return None
        begins = max(0, keyword.start() - 30)
    for phrase in reversed(list(PHRASE.finditer(text, begins))[-8:]):
        rest = text[phrase.end() :]
        before = _SENTENCE_START.split(text[max(0, phrase.start() - 200) : phrase.start()])[-1]
        if SUPPOSED.search(before) or is_imagined(before + phrase[0]) or DENIED.match(rest):
            if answer := _corrected(rest[:MAX_SENTENCE]):
                return answer
            continue
        clause = _clause(rest)
        if text.rstrip().endswith(("?", "？")) and not is_bare(clause):
            continue  # it introduces a question
        _, _, behind = rest[: 3 * MAX_SENTENCE].partition(clause) if clause else ("", "", "")
        asked = phrase[0].lower().rstrip(" :").endswith(("question", "problem"))
        if (asked and is_question(behind[:200].lstrip(" ."))) or (not finished and clause and not behind):
            continue
        if RETRACTED.match(behind) or REJECTED.match(behind):
            return None
        if clause and "\\boxed" not in clause and (answer := read_clause(clause)):
            return answer
    return None


def _corrected(denied: str) -> str | None:
    """The 7 of "[the answer is] not 5 but 7", "n't 5; it is 7", "5, one might think, but in fact it is 7"."""
    for contrast in CORRECTED.finditer(denied):
        clause = _clause(denied[contrast.end() :])
        if contrast["is"] or is_bare(clause) or _LETTER.fullmatch(clause):
            return None if DENIED.match(clause) else read_clause(clause)
    return None


def _clause(rest: str) -> str:
    """The text up to the end of the sentence; a formula is never cut."""
    rest = REMARK.sub("", rest[: 2 * MAX_SENTENCE].lstrip(" \t\n:：*"))
    if block := re.match(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", rest, re.DOTALL):
        return (block[1] or block[2]).strip()
    rest = rest[_LEAD.match(rest).end() :] if _LEAD.match(rest) else rest  # type: ignore[union-attr]
    spans = [m.span() for m in FORMULA.finditer(rest)]
    for end in _CLAUSE_END.finditer(rest):
        if end["remark"] and _CONDITION.match(rest):
            continue
        if end["which"] and not is_bare(rest[: end.start()]):
            continue
        if not any(start < end.start() < stop for start, stop in spans):
            rest = rest[: end.start()]
            break
    return rest.strip().rstrip(".*").strip()


def letter_at_end(text: str) -> str | None:
    """An option's letter that ends the text: "(B)", "B is correct", "I choose B"."""
    match = _LETTER_AT_END.search(text)
    letter = next(filter(None, match.groups())) if match else None
    if letter and match and DENIES.search(_SENTENCE_START.split(text[: match.start()])[-1]):
        return None
    labels = _LABELS.findall(text[-MAX_SENTENCE:])
    lists_options = letter and labels[-2:] == [chr(ord(letter) - 1), letter]
    return None if lists_options else letter


def whole(text: str, prompt: str = "") -> str | None:
    """A completion that is nothing but its answer: one short line without a sentence."""
    line = text.strip()
    if not line or "\n" in line or len(line) > 400:
        return None
    if (answer := yes_or_no(line)) and "?" not in line:
        return answer
    if is_question(line) or TOOL.search(line) or SUPPOSED.search(line) or not statement(line):
        return None
    if only_given(line, "", prompt):
        return None
    if len(prose(line)) > 2 and (complement := in_words(line)):
        return complement
    bare = len(prose(line)) <= 3 and not _last_sentence(line)[1]
    return line if bare or re.match(r"\W{0,3}(?:option\s+)?[A-J]\W", line) else None


def in_words(sentence: str) -> str | None:
    """The odd of "The function $f$ is odd": what a sentence without numbers says something is."""
    sentence = statement(sentence)
    complement = _COPULA.search(sentence)
    if not complement or DENIES.search(sentence, 0, complement.start()) or is_hedged(sentence, sentence):
        return None
    if any(not value.formula for value in values(sentence)):
        return None
    return None if FORMULA.search(sentence, complement.start()) else complement[1]


def by_last_sentence(text: str, prompt: str = "") -> str | None:
    """The answer in the last line or sentence, if it is a statement and not a part of `prompt`."""
    text = _PLEASANTRY.sub("", text.rstrip()).rstrip()
    rest = FORMULA.sub(" ", text)
    if _UNCLOSED.search(rest) or (rest != text and _ODD_DOLLAR.search(rest)):
        return None
    last_line = text[text.rfind("\n") + 1 :].strip()
    if is_number(last_line):
        return last_line.lstrip("* ").rstrip("*. ")
    sentence, earlier = _last_sentence(text)
    if (truth := _TRUTH.search(sentence) or _NO_SOLUTION.search(sentence)) and not is_question(sentence):
        return truth[1]
    if (truth := _YES_NO.fullmatch(sentence)) and _follows_question(earlier):
        return truth[1]
    if (
        not 0 < len(sentence) <= MAX_SENTENCE
        or _BREAKS_OFF.search(sentence)
        or SUPPOSED.search(sentence)
        or is_imagined(sentence)
        or _RESTATES.search(earlier[-200:])
        or earlier.count(earlier[-LOOP:]) > 3
        or repeats(sentence, prompt)
        or _begins_again(sentence, earlier)
    ):
        return None
    if _is_last_option(sentence, earlier):
        return None
    if only_given(sentence, earlier, prompt):
        return None
    if is_bare(sentence):
        lead = earlier.rpartition("\n")[2].strip(" *")
        if lead.endswith(("?", "？")) and is_number(sentence):
            return sentence.strip(" *.")
        if _follows_question(earlier) and not (lead and is_computed(sentence)):
            return None
        if lead and not _names_value(lead):
            return None  # the last of several calculations in a line
        in_words = "=" in FORMULA.sub(" ", sentence) and read_sentence(sentence, earlier)
        return in_words or sentence.lstrip("* ").rstrip("*. ")
    return read_sentence(sentence, earlier, direct=bool(prompt) and not earlier.strip())


def _follows_question(earlier: str) -> bool:
    return is_question(_last_sentence(earlier.rstrip())[0])


def _names_value(lead: str) -> bool:
    """Whether the text before a value in its line says in words what it is: "The total cost:"."""
    names = lead.endswith((":", "：")) and bool(prose(lead)) and not is_label(lead[:-1])
    return names and not (TOOL.search(lead) or SUPPOSED.search(lead) or _names_others(lead))


def _names_others(lead: str) -> bool:
    """Whether the first of several named values stand before the last one's name: "First: 4, second:"."""
    *others, last = re.split(r"[,;]\s", lead)
    return any(re.search(r"[:：]\s*\W?\d", other) for other in others) and not TOTAL.match(last)


def _is_last_option(sentence: str, earlier: str) -> bool:
    """Whether "(e) text" ends a list of options, of which (d) is the one before."""
    label = re.match(r"\W*([B-Jb-j])[).:]\s", sentence)
    return bool(label and re.search(rf"(?:^|\s)\W?{chr(ord(label[1]) - 1)}[).:]\s", earlier[-MAX_SENTENCE:]))


def repeats(sentence: str, prompt: str) -> bool:
    """Whether a sentence is one of the prompt's; a value alone may be in both."""
    told = len(prose(sentence)) > 2 or "=" in sentence
    return bool(prompt) and told and _spaceless(sentence) in _spaceless(prompt)


def _begins_again(sentence: str, earlier: str) -> bool:
    """Whether the last sentence is the beginning of an earlier one, in a loop that was cut."""
    at = earlier.find(sentence) if len(sentence) > 8 else -1
    return at >= 0 and earlier[at + len(sentence) :].lstrip()[:1].isalnum()


def _spaceless(text: str) -> str:
    return "".join(text.split()).rstrip(".")


def _last_sentence(text: str) -> tuple[str, str]:
    """(the last sentence, the text before it); an end inside a formula is none."""
    begins = text.find("\n", max(0, len(text) - 2 * MAX_SENTENCE)) + 1 if len(text) > 2 * MAX_SENTENCE else 0
    body = text.rstrip(" .。*\n!")
    formulas = [m.span() for m in FORMULA.finditer(text, begins)]
    start = begins
    for end in _SENTENCE_END.finditer(body, begins):
        while formulas and formulas[0][1] <= end.start():
            del formulas[0]
        if not formulas or end.start() <= formulas[0][0]:
            start = end.end()
    sentence = text[start:].strip()
    return sentence, text[: text.find(sentence, start)]
