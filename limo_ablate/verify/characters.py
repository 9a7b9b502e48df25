"""Converts Unicode mathematics, as models write it, to the LaTeX and ASCII that the lexer reads."""

from __future__ import annotations

import re

_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "×": r"\times ", "⋅": r"\cdot ",
    "·": r"\cdot ",
    "•": r"\cdot ", "∙": r"\cdot ", "∗": "*", "÷": r"\div ", "∕": "/", "⁄": "/", "±": r"\pm ", "∓": r"\mp ",
    "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
    "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ",
    "≡": r"\equiv ", "∈": r"\in ", "∉": r"\notin ", "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ",
    "∅": r"\emptyset ", "⌀": r"\emptyset ", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "′": "'",
    "’": "'",
    "‘": "'", "″": "''", "“": '"', "”": '"', "∠": r"\angle ", "△": r"\triangle ", "∑": r"\sum ",
    "∏": r"\prod ",
    "∫": r"\int ", "∂": r"\partial ", "∇": r"\nabla ", "→": r"\to ", "⇒": r"\implies ",
    "∀": r"\forall ", "∃": r"\exists ", "∧": r"\land ",
    "∨": r"\lor ", "¬": r"\neg ", "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "‖": r"\|", "∣": "|", "│": "|",
    "…": r"\ldots ", "⋯": r"\ldots ", "ℝ": r"\R ", "ℤ": r"\Z ", "ℕ": r"\N ", "ℚ": r"\Q ", "ℂ": r"\C ",
    "。": ".", "、": ",", "【": "[", "】": "]", "《": "", "》": "", "€": r"\text{euro}", "£": r"\text{gbp}",
    "₹": r"\text{rupee}", "¥": r"\text{yen}", "￥": r"\text{yen}",
    "％": r"\%", "℃": r"^\circ \text{C}", "℉": r"^\circ \text{F}",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}", "⅘": r"\frac{4}{5}", "⅙": r"\frac{1}{6}",
    "⅚": r"\frac{5}{6}", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}", "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}",
    "\N{MICRO SIGN}": r"\mu ", "ⅈ": "i", "ℯ": "e",
}  # fmt: skip

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ",
    "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip

_DROPPED = (
    "\0\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_SPACES = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2028\u2029"
)
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n", strict=True))

_TABLE: dict[int, str] = {ord(c): text for c, text in _SYMBOLS.items()}
_TABLE |= {ord(c): f"\\{name} " for name, c in _GREEK.items()}
_TABLE |= dict.fromkeys(map(ord, _DROPPED), "") | dict.fromkeys(map(ord, _SPACES), " ")
_TABLE |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if code not in _TABLE}
_TABLE |= dict.fromkeys(range(0xD800, 0xE000), "")

_CONTROLS = {code: "" for code in (*range(32), 127) if chr(code) not in "\t\n\r\v\f"}
_TABLE |= _CONTROLS

_RUN_RAISED = re.compile(f"[{''.join(_RAISED)}]+")
_RUN_LOWERED = re.compile(f"[{''.join(_LOWERED)}]+")
_BARE_ROOT = re.compile(r"√\s*(?=[\d.]*\d)([\d.]+)")
_CHINESE_POINT = re.compile(r"(?<=\d)。(?=\d)")


_ESCAPES = {"\f": "f", "\t": "t", "\b": "b", "\r": "r", "\v": "v"}
_UNESCAPED = re.compile(
    r"(\f(?=rac\b|orall\b|lat\b)"
    r"|\t(?=ext(?:bf|circ|it|rm|tt|sf)?\b|heta\b|imes\b|an\b|anh\b|frac\b|binom\b|au\b|ilde\b|o\b(?=\s*[\\\d{]))"
    r"|\x08(?=egin\b|inom\b|eta\b|oxed\b|ar\b|ig[lr]?\b|mod\b|oldsymbol\b|ot\b|ullet\b)"
    r"|\r(?=ight\b|ho\b|angle\b|floor\b|ceil\b|vert\b|ightarrow\b)"
    r"|\v(?=ec\b|ert\b|ee\b|arphi\b|arepsilon\b|artheta\b|dots\b))"
)
"""Commands whose backslash was read as an escape of JSON or Python: a form feed and "rac" was \\frac."""


def with_backslashes(text: str) -> str:
    return _UNESCAPED.sub(lambda match: f"\\{_ESCAPES[match[1]]}", text)


def to_ascii(text: str) -> str:
    """`text` with mathematical Unicode as LaTeX; letters of other scripts stay. Takes linear time."""
    if not text.isprintable():
        text = with_backslashes(text)
    if text.isascii():
        return text if text.isprintable() else text.translate(_CONTROLS)
    text = _BARE_ROOT.sub(r"\\sqrt{\1}", text)
    text = _RUN_RAISED.sub(lambda m: "^{" + "".join(_RAISED[c] for c in m[0]) + "}", text)
    text = _RUN_LOWERED.sub(lambda m: "_{" + "".join(_LOWERED[c] for c in m[0]) + "}", text)
    return _CHINESE_POINT.sub(".", text).translate(_TABLE)
