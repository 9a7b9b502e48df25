"""What the grammar knows: operators and their binding powers, functions, commands and words."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec",
    "arccsc": "acsc",
    "asin": "asin", "acos": "acos", "atan": "atan", "tg": "tan", "ctg": "cot", "arctg": "atan",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "coth": "coth",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arsinh": "asinh", "arcosh": "acosh",
    "artanh": "atanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "ln": "ln", "log": "log", "lg": "lg", "exp": "exp", "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs",
    "floor": "floor", "ceil": "ceil", "ceiling": "ceil", "factorial": "factorial", "binomial": "binomial",
    "binom": "binomial", "gcd": "gcd", "lcm": "lcm", "max": "max", "min": "min", "Re": "re", "Im": "im",
    "arg": "arg", "det": "det", "sgn": "sign", "sign": "sign", "erf": "erf", "comb": "binomial",
    "mod": "mod", "cis": "cis",
}  # fmt: skip
"""Spelling without backslash -> the name in `nodes.Call`."""

INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec", "csc": "acsc",
           "sinh": "asinh", "cosh": "acosh", "tanh": "atanh"}  # fmt: skip

GREEK = _set(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron rho sigma tau upsilon "
    "phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
SPELLINGS = {"varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho",
             "varsigma": "sigma",
             "varpi": "varpi", "ell": "ell", "hbar": "hbar", "partial": "partial", "nabla": "nabla",
             "Re": "Re",
             "aleph": "aleph", "mho": "mho", "odot": "odot", "oplus": "oplus", "star": "star", "imath": "i",
             "jmath": "j",
             "bullet": "bullet", "perp": "perp", "parallel": "parallel", "prime": "prime"}  # fmt: skip

NUMBER_SETS = {"R": "Reals", "Z": "Integers", "N": "Naturals", "Q": "Rationals", "C": "Complexes"}

RELATIONS = {
    "=": "=", "<": "<", ">": ">", "le": "<=", "leq": "<=", "leqslant": "<=", "leqq": "<=", "ge": ">=",
    "geq": ">=",
    "geqslant": ">=", "geqq": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=", "<=": "<=", ">=": ">=",
    "!=": "!=", "==": "=", "equiv": "equiv", "in": "in", "notin": "notin", "approx": "approx",
    "sim": "approx",
    "simeq": "approx", "cong": "approx", "subset": "subset", "subseteq": "subset", "to": "to", "mapsto": "to",
    "rightarrow": "to", "implies": "implies", "Rightarrow": "implies", "iff": "iff", "Leftrightarrow": "iff",
    "coloneqq": "=", "doteq": "=", "propto": "propto",
}  # fmt: skip

SET_OPERATORS = {"cup": "cup", "bigcup": "cup", "cap": "cap", "bigcap": "cap", "setminus": "setminus",
                 "backslash": "setminus"}  # fmt: skip
LOGIC = {"land": "and", "wedge": "and", "lor": "or", "vee": "or"}
TIMES = frozenset(("*", "cdot", "times", "ast", "bullet", "star"))

FONTS = _set(
    "mathrm rm mathbf boldsymbol bm mathit mathsf mathtt mathcal mathscr mathfrak operatorname pmb bf it "
    "Bbb underline"
)
TEXTS = _set("text mbox textbf textit textrm texttt textsf hbox textnormal emph")
ACCENTS = _set(
    "vec hat bar overline dot ddot tilde overrightarrow widehat widetilde overleftarrow acute check"
)
SKIPPED = _set(
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle "
    "scriptstyle limits nolimits quad qquad hfill mathstrut strut null space thinspace enspace nonumber "
    "large Large tiny small normalsize centering cal triangle because therefore mathord mathop mathopen "
    "mathclose mathbin mathrel vphantom relax "
)
"""Commands that only change how a formula looks, and \\triangle before the letters that name a triangle."""

NUMBER_WORDS = {word: n for n, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty"])} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000, "million": 10**6, "dozen": 12}  # fmt: skip
CHINESE_NUMBERS = {c: n for n, c in enumerate("零一二三四五六七八九十")} | {"两": 2}

AND_WORDS = frozenset(("and", "和", "与", "且", "及", "以及"))
OR_WORDS = frozenset(("or", "或", "或者"))
IGNORED_WORDS = _set(
    "approximately about exactly only just roughly i.e. ie so thus therefore hence namely equals the a an is "
    "are total of"
)
SHORT_WORDS = _set(
    "of the are was for not per has can its his her who all any but out off own way day men boy one two six "
    "ten red yes"
)
"""Words of two and three letters that are never products of letters."""
LONE_WORDS = _set(
    "no ok on off up in out low mid top end odd big old new bad hot dry wet mon tue wed thu fri sat sun win "
    "tie nil not owl now own won pot opt dim dab den ton cat act dog god cow hen pig"
)
"""Words of two and three letters that are words as a whole answer, but products of letters in a formula. If
their letters make another word ("no", "on"), both are listed."""
STOP_WORDS = _set(
    "is are not no if when while where for all any but except without never than then that this because "
    "since does do did wrong or than number plus minus"
)
"""Words that only occur in sentences: text with one of them is not a quantity with a counted noun."""

SYNONYMS = {
    "dne": "does not exist", "doesnt exist": "does not exist", "undefined": "undefined",
    "不存在": "does not exist",
    "no solutions": "no solution", "no real solution": "no solution", "no real solutions": "no solution",
    "none": "no solution", "无解": "no solution", "there are no solutions": "no solution",
    "infinitely many solutions": "infinitely many", "infinite": "infinitely many",
    "无穷多": "infinitely many",
    "是": "yes", "否": "no", "正确": "true", "错误": "false", "对": "true", "错": "false",
    "充分必要条件": "充要条件", "充分且必要条件": "充要条件", "必要而不充分条件": "必要不充分条件",
    "充分而不必要条件": "充分不必要条件", "既不充分又不必要条件": "既不充分也不必要条件",
}  # fmt: skip


OVER, LOGIC_LEVEL, RELATION, SET_LEVEL, RATIO, SUM, PRODUCT, SIGN, POWER = 1, 2, 10, 14, 16, 20, 30, 25, 50
"""Binding powers, loosest first. A sign binds looser than a product: -2x^2 = -(2x^2)."""


EXPRESSION_ENDS = frozenset(
    (")", "]", "}", "\\}", ",", ";", "&", "\\\\", "rangle", "rfloor", "rceil", "rvert", "rVert")
)


NOT_AN_ATOM = (
    frozenset(RELATIONS) | frozenset(SET_OPERATORS) | frozenset(LOGIC) | TIMES
    | frozenset(("/", "div", "+", "-", "pm", "mp", "^", "_", "!", "'", "%", "\\%", ":", "mid", "colon", "°",
                 "&", "over",
                 "\\\\", "degree", "bmod", "pmod", "choose", '"'))
)  # fmt: skip


DOTS = frozenset(("cdots", "ldots", "dots", "dotsc", "dotsb", "dotsm", "vdots"))

FUNCTION_LETTERS = frozenset(["f", "g", "h", "F", "G", "H"])
"""Letters that are functions, not factors, before a bracket."""
