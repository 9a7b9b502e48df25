"""What the words around a value say of it: that it is asked for, supposed, hedged, rejected or concluded."""

from __future__ import annotations

import re


def _any(phrases: str) -> str:
    """A pattern of alternatives, whose spaces match any space."""
    return "(?:" + "|".join(r"\s+".join(phrase.split()) for phrase in phrases.split("|")) + ")"


_QUESTION = _any(
    r"""find|compute|calculate|determine|evaluate|simplify|solve|express|what|how|which|who|if|let|suppose
    |assume|given|consider|prove|show|write|state|give|expand|factor|convert|round|add|subtract|multiply
    |divide|graph|enter|list|order|rationali[sz]e|name|use|fill|draw|answer|choose|select|identify
    |estimate|complete|approximate|reduce|note|recall|remember|try|is|are|does|do|did|can|could|will|would
    |should|isn't|when|where|why|verify|confirm|check (?:that|if|whether)|explain|decide|justify
    |demonstrate|imagine|whether"""
)
_COMMANDS = _any(
    r"""Find|Compute|Calculate|Determine|Evaluate|Simplify|Express|Solve|Factor|Fully|Completely|Expand
    |Rationalize|Convert|Write|Complete|Reduce|Round|Add|Subtract|Multiply|Divide|Graph|Prove"""
)
"""Verbs with which a problem begins, capital in the middle of a sentence too where it is quoted."""
_SOUGHT = "find|compute|calculate|determine|evaluate|simplify|express|solve|know|figure"
_CHECKED = _any(
    "check|see|show|prove|verify|confirm|demonstrate|establish|explain|justify|decide|determine|ask|tell"
)
_INTENDS = _any(
    "need|wants?|have|asked|going|try|trying|required|(?:goal|task|aim) is|wish|remains|order|used"
)
_ASKS = re.compile(
    rf"^\W*(?:(?:completely|fully|please|now|then|next|first|and|so|hmm|but)\W+)*{_QUESTION}\b"
    r"|^\W*(?:[求若设]|如果|已知|计算|化简|解方程)"
    r"|[:;,]\s*(?:please\s+)?(?:find|compute|calculate|determine|evaluate|simplify|express|what|how|which\s+of|solve)\b"
    rf"|\b{_INTENDS}\s+(?:us\s+|me\s+)?to\s+(?:{_SOUGHT}|{_CHECKED})\b"
    r"|\b(?:must|should|will|let\s+me|let\s+us|let's)\s+(?:first\s+)?"
    rf"(?:find|compute|calculate|determine|figure|restate|rephrase|recall|{_CHECKED})\b"
    r"|\b(?:I|we|let's|will|us)\s+(?:will\s+)?(?:assume|suppose|try|guess)\b"
    r"|\b(?:problem|question|exercise)\s+(?:has|is|involves|concerns|says|states|tells|asks|gives|mentions)\b"
    r"|\b(?:are|am|were|was|is|we're|I'm)\s+(?:told|given|asked)\s+(?!by\b)"
    r"|\b(?:as\s+(?:given|stated|assumed|we\s+know|is\s+known)|(?:according\s+to|from|in)\s+the\s+(?:problem|question|statement)"
    r"|by\s+(?:assumption|hypothesis))\b(?!\s+above)"
    rf"|\b(?:{_CHECKED}|test|wonder)\s+(?:if|whether)\b|(?-i:\b{_COMMANDS}\b)|[?？]|多少|几个|什么|求[^得出]",
    re.IGNORECASE,
)
SUPPOSED = re.compile(
    r"(?:\b(?:"
    + _any(
        r"""if|whether|suppose|supposing|assume|assuming|imagine|unless|until|what|why|maybe|perhaps|doubt
        |wrong|incorrect|false|untrue|for which|such that|so that|under which|where|make sure|ensure
        |not the case|no way|unlikely|impossible|not true|not so|not certain|not clear
        |(?:mistake|error|misconception|trap) (?:is|was|would be)(?: to \w+)?
        |(?:tempting|mistake|wrong) to \w+"""
    )
    + r"|(?:might|may|could|some|many|most|students?|people|they|one)\s[^.!?\n]{0,20}?"
    r"(?:think|thinks|say|says|believe|guess|expect|claim|claims|suspect)"
    rf"|(?:please|must|should|will|shall|cannot|us|me|let's|(?:{_INTENDS}|^|,)\s*to)\s+{_CHECKED})"
    rf"|n['’]t\s+(?:true|so|the\s+case)|^\W*(?:(?:now|please|so)\W+)*(?:{_CHECKED}|prove(?:\s+or\s+disprove)?:))(?:\s+(?:that|if|whether|why))?\s+"
    r"(?:the|our|this|my)?\s*(?:(?:final|correct)\s+)?(?=answer|option|choice|$)",
    re.IGNORECASE,
)
"""What makes an answer that is spoken of not the one that is given."""
_HEDGED_BEFORE = re.compile(
    r"\b"
    + _any(
        r"""not|except|excluding|unless|either|neither|possibly|maybe|perhaps|without|any|never|cannot
        |impossible|exceeds?|close to|one of|(?:one|a) possible|fail(?:s|ed)?|excludes?|rules? out|nonzero
        |hardly|nowhere|(?:we|I|must|can|should|to|so|thus|therefore|hence) (?:reject|discard)|undefined
        |infinite|reach(?:es)?|wrong|incorrect|doubt"""
    )
    + r"\b|\b"
    + _any(
        r"""at least|at most|(?:more|less|fewer|greater|larger|smaller|other|rather) than|above|below
        |beyond|up to|divisible by|between|(?:multiples?|divisors?|factors?|powers?) of
        |(?:ends?|begins?|starts?) (?:in|with)"""
    )
    + r"[\s$*(\\]*\Z|\b(?:products?|sum|differences?|ratio|quotient|squares?|cubes?|negative|reciprocal"
    r"|inverse|root|half|double|twice|triple)(?:\s+of)?[\s$*(\\]*\Z"
    r"|n['’]t\b|除了|不是|(?:[<>≠≤≥]=?|!=|\\neq?)\s*\Z"
    r"|\b(?:might|may|could)\s+(?:\w+\s+)?(?:be\s*)?\Z",
    re.IGNORECASE,
)
_HEDGED_BEHIND = re.compile(
    r"\A[^,.;]{0,30}\b(?:(?:does|do|did|is|are)\s*(?:not|n['’]t)|cannot|fails?|as\s+an?|works)\b"
    r"|\A\W*(?:is|was)\s+(?!the\b|our\b|my\b|left\b|needed\b|required\b|remaining\b|enough\b)|\A\W*"
    + _any(
        r"""raised|over|choose|factorial|with probability|to the (?!nearest)|times|plus|minus
        |(?:more|less|fewer|greater) than|multiplied|divided|squared|cubed|percent of"""
    )
    + r"\b|\b(?:or|except|excluding|unless|otherwise|but|depend(?:s|ing)|if|so\s+on|etc|and\s+then)\b"
    r"|除了|或",
    re.IGNORECASE,
)
_OF_ANOTHER = _any(
    r"""since|because|as|so(?! (?:it|this|that)\b)|others?|negative|any|no|not|never|without|if|unless
    |otherwise|more|fewer|less|larger|smaller|greater|by|only"""
)
"""Words behind which something else than the value before them is rejected."""
REJECTED = re.compile(
    r"\A[^\w.\n]*(?:(?:is|are|was|were|must|can|should|has|to|be|being|thus|therefore|hence|also|then|which|this|that|but|and"
    r"|it|an?)\s+)*"
    + _any(
        r"""rejected|discarded|excluded|eliminated|dismissed|ruled out|thrown out
        |not (?:the|an?|our|my) (?:(?:correct|right|final|valid) )*(?:answer|solution|value|result)
        |too (?:large|small|big|high|low)|wrong|incorrect|false|nonsense|absurd|fails?
        |(?:does|do) not (?:work|hold|satisfy)|doesn['’]t (?:work|hold)"""
    )
    + rf"\b|\A[^\w.\n]*+(?:(?!\b{_OF_ANOTHER}\b)[^\d$;.=\n?]){{0,60}}?\b"
    + _any(
        r"""contradict\w*|contrary|impossib\w+|absurd\w*|nonsens\w*|extraneous|inadmissible|invalid
        |violat\w+
        |(?:not|n['’]t) (?:possible|allowed|valid|permitted|admissible|acceptable|true|right
        |correct |a (?:valid )?solution|in the domain)
        |(?:cannot|can['’]t) (?:be (?:right|correct|true|so|an? (?:valid )?(?:solution|root|value))
        |be(?=\W*\Z)|happen|occur|hold)"""
    )
    + r"\b",
    re.IGNORECASE,
)
"""What makes the value before it one that does not hold: "which is impossible", "is rejected"."""
RETRACTED = re.compile(
    r"\W*(?:(?:but|however|wait|no|oh|hmm)\W+){0,3}(?:actually,?\s+no|scratch\s+that|correction(?=\s*:)"
    r"|on\s+second\s+thoughts?,?\s+(?:it|that|the\s+answer)"
    r"|(?:that|this)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|false|not\s+(?:right|correct))"
    r"|(?:(?:that|this|it|which)\s+)?(?:is\s+|leads\s+to\s+)?(?:an?\s+)?(?:contradict(?:s|ion)|absurd|invalid|impossible(?!\s+(?:to|for|that)))"
    r"|(?:that|this|it)\s+(?:can['’]t|cannot)\s+be\s+(?:right|correct|true|possible|the\s+case))\b",
    re.IGNORECASE,
)
DENIED = re.compile(r"\W*(?:it(?:['’]s|\s+is)\s+)?(?:not|neither|n['’]t)\b", re.IGNORECASE)
"""How what follows "is" begins if it only says what the answer is not."""
_INSTEAD = r"(?:(?:rather|instead|actually|really|in\s+(?:fact|reality|truth)|simply)\b\W*)*"
CORRECTED = re.compile(
    rf"(?:\bbut\b|\bhowever\b|而是|[.;,—-]\s+(?=(?:rather|instead|actually|in\s+fact|it|the)\b))\W*{_INSTEAD}"
    r"(?P<is>(?:it|this|that|(?:the\s+)?(?:(?:correct|right|true|real|actual|final)\s+)*(?:answer|value|one|number|result))"
    rf"(?:['’]s|\s+(?:is|equals|(?:must|should)\s+be))\s+)?{_INSTEAD}",
    re.IGNORECASE,
)
"""What stands before the value that a text gives instead of one that it denies."""
DENIES = re.compile(
    r"\b(?:no|none|nobody|nothing|neither|nor|false|untrue|mistake|said|says|claims?|whether)\b",
    re.IGNORECASE,
)
_OPPOSED = r"(?!.*(?<!not\s)\b(?:{})\b\W*(?:\Z|(?:otherwise|if|when|for|in)\b))"
_YES_OR_NO = re.compile(
    rf"\W*(?:so\s+|\\text\{{)?(?:(yes|true)[\s*}}]*[,.:;!]\s{_OPPOSED.format('no|false')}|(no|false)[\s*}}]*[,.:;!]\s{_OPPOSED.format('yes|true')})"
    r".*[a-z]{2}.*",
    re.IGNORECASE | re.DOTALL,
)
CONCLUDES = re.compile(
    r"^\W*(?:so|therefore|thus|hence|finally|in\s+total|altogether|in\s+all|in\s+conclusion|consequently|(?:this|that|which)\s+means|it\s+follows|as\s+a\s+result|overall|in\s+the\s+end|ultimately"
    r"|(?:(?:which|this|that)\s+)?(?:gives?|yields?)|(?:and|to)\s+(?:get|obtain)|(?:and\s+)?(?:we|you)\s+(?:get|have|find|obtain|conclude)|∴|因此|所以|故|综上|从而|于是|即|答)",
    re.IGNORECASE,
)
SUMS_UP = re.compile(
    r"(?<!\\)\b(?:in\s+(?:total|all|the\s+end)|altogether|overall|left(?!\s+(?:of|side|hand)|-)|remain\w*|finally)\b",
    re.IGNORECASE,
)
"""What in a sentence says that its value is the result of all before it."""
_WOULD_BE = re.compile(r"\b(?:would|might|could)\s+(?:then\s+)?(?:have\s+)?be(?:en)?\b", re.IGNORECASE)
_IF_IT_WERE = re.compile(
    r"\b(?:if|had)\b[^.!?\n]{0,200}\b"
    r"(?:were|was|had|did|could|assumed|supposed|counted|treated|considered|ignored|forgot)\b",
    re.IGNORECASE,
)
_TO_BE_SHOWN = re.compile(
    r"\W*(?:(?:now|please|so)\W+)*(?:prove|show|verify|demonstrate|establish|confirm|justify|explain)"
    r"(?:\s+(?:that|why)\b|\s*:)",
    re.IGNORECASE,
)
TOOL = re.compile(
    r"\b(?:identity|formula|equation|theorem|lemma|inequality|rule|law|fact|condition|definition|useful)\b"
    r"|^\W*(?:recall|remember|set|hint|note|todo|known|data|try|limit|time\s+limit|example|input)\b",
    re.IGNORECASE,
)


def is_hedged(before: str, behind: str) -> bool:
    """Whether the words before or behind a value make it not the one that is stated."""
    return bool(_HEDGED_BEFORE.search(before) or _HEDGED_BEHIND.search(behind) or REJECTED.match(behind))


def is_imagined(sentence: str) -> bool:
    """Whether a sentence says what would be the case, or what is to be shown."""
    if _TO_BE_SHOWN.match(sentence):
        return True
    would = _WOULD_BE.search(sentence)
    return bool(would and _IF_IT_WERE.search(sentence, 0, would.start()))


def is_question(sentence: str) -> bool:
    """Whether a sentence, or its last line, asks for something or sets a problem."""
    last_line = sentence.rstrip().rpartition("\n")[2]
    return bool(_ASKS.search(sentence) or _ASKS.search(last_line))


def yes_or_no(text: str) -> str | None:
    """The Yes of "Yes, it is prime"; None if the text then says the opposite."""
    match = _YES_OR_NO.fullmatch(text)
    return match[1] or match[2] if match else None
