"""The pairs of the verifier benchmark: golden set, real completions, golds against golds, rewrites, near
misses."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/verify/golden"
SHARED = ROOT.parent / "shared/data"

SENTENCES = (
    "Adding everything up, the answer is $\\boxed{%s}$.",
    "Hence the result is\n\\[\\boxed{%s}.\\]",
    "Simplifying, we find that it equals \\boxed{%s}",
)


class Pair(NamedTuple):
    suite: str
    kind: str
    completion: str
    gold: str
    expected: bool


def golden() -> Iterator[Pair]:
    for file in sorted(GOLDEN.glob("*.jsonl")):
        for row in _lines(file):
            yield Pair("golden", row["category"], row["completion"], row["gold"], row["expected"])


def completions() -> Iterator[Pair]:
    """Real completions; the reference's eight wrong labels (gold 4:30p.., line 4) are corrected."""
    for row in _lines(SHARED / "completions/qwen_math_60x8.jsonl"):
        for completion, label in zip(row["completions"], row["reference_correct"], strict=True):
            expected = bool(label) or row["gold"] == "4:30p.."
            yield Pair("completions", "real", completion, row["gold"], expected)


def limo_golds() -> dict[str, list[str]]:
    files = sorted((SHARED / "limo-eval").glob("*/test.jsonl"))
    return {file.parent.name: [str(row["answer"]) for row in _lines(file)] for file in files}


def themselves() -> Iterator[Pair]:
    for name, golds in limo_golds().items():
        for gold in golds:
            yield Pair("gold against itself", name, _say(gold), gold, True)


def others() -> Iterator[Pair]:
    """Each gold against five others of its set; spellings of one answer (`1,-2` and `-2,1`) are left out."""
    rng = random.Random(1)
    for name, golds in limo_golds().items():
        for gold in golds:
            for other in rng.sample(golds, 5):
                if _bare(other) != _bare(gold):
                    yield Pair("gold against others", name, _say(other), gold, False)


def _bare(gold: str) -> str:
    """Golds that differ only so are one answer: order of a list, k= before a value, signs, brackets of a
    letter."""
    if re.match(r"（([A-D])）", gold):
        return gold[1]
    text = re.sub(r"[$\s（）()．.{}]|\\left|\\right|\\d?frac|\\%|^[a-z]=", "", gold)
    return ",".join(sorted(text.split(",")))


def rewrites() -> Iterator[Pair]:
    """Mechanical rewrites of the golds: those that keep the value, and those that change it."""
    for keeps, table in ((True, KEEPING), (False, CHANGING)):
        suite = "rewrites that keep" if keeps else "rewrites that change"
        for kind, rewrite in table.items():
            made = [
                (gold, new)
                for golds in limo_golds().values()
                for gold in golds
                if (new := rewrite(gold.strip()))
            ]
            for gold, new in random.Random(kind).sample(made, min(len(made), 120)):
                completion = new if new.startswith("\n") else _say(new)
                yield Pair(suite, kind, completion.lstrip("\n"), gold, keeps)


def near_misses() -> Iterator[Pair]:
    """One digit or sign of a gold changed, in ways that change its value."""
    rng = random.Random(2)
    for golds in limo_golds().values():
        for gold in golds:
            places = [m.start() for m in re.finditer(r"(?<![\d.])[1-9](?![\d,.])", gold)]
            if places and not re.search(r"[A-Z]\b|_|'|[\u2e80-\u9fff]", gold):
                at = rng.choice(places)
                digit = str((int(gold[at]) + rng.choice((1, 2, 3))) % 10 or 7)
                if digit != gold[at]:
                    yield Pair("near misses", "digit", _say(gold[:at] + digit + gold[at + 1 :]), gold, False)


def _say(answer: str) -> str:
    return SENTENCES[len(answer) % 3].replace("%s", answer)


def _lines(file: Path) -> Iterator[dict]:
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            yield json.loads(line)


Rewrite = Callable[[str], str | None]


def _replace(pattern: str, new: str, unless: str = r"(?!)") -> Rewrite:
    """`pattern` replaced, where it occurs and `unless` does not."""

    def rewrite(gold: str) -> str | None:
        if re.search(unless, gold) or not re.search(pattern, gold):
            return None
        changed = re.sub(pattern, new, gold)
        return changed if changed != gold else None

    return rewrite


def _where(pattern: str, template: str) -> Rewrite:
    """`template` around golds that `pattern` matches whole."""
    return lambda gold: template.replace("%s", gold) if re.fullmatch(pattern, gold) else None


def _thousands(separator: str) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        return (
            re.sub(r"(?<=\d)(?=(\d{3})+$)", lambda _: separator, gold)
            if re.fullmatch(r"-?\d{4,9}", gold)
            else None
        )

    return rewrite


def _boxes(gold: str) -> str | None:
    items = gold.replace("$", "").split(",")
    simple = 2 <= len(items) <= 4 and all(
        re.fullmatch(r"\s*-?\d{1,2}\s*|\\frac\{\d+\}\{\d+\}", item) for item in items
    )
    distinct = len(set(items)) == len(items)
    return (
        "\nThe answers are " + " and ".join(f"\\boxed{{{item.strip()}}}" for item in items)
        if simple and distinct
        else None
    )


def _reversed(gold: str) -> str | None:
    items = gold.replace("$", "").split(",")
    simple = len(items) >= 2 and all(re.fullmatch(r"\s*-?\d{1,2}\s*", item) for item in items)
    return ", ".join(item.strip() for item in items[::-1]) if simple and items != items[::-1] else None


def _scaled(factor: int) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        return str(int(gold) * factor) if re.fullmatch(r"[1-9]\d*", gold) else None

    return rewrite


def _plus_one(gold: str) -> str | None:
    return str(int(gold) + 1) if re.fullmatch(r"-?\d+", gold) else None


def _swapped_fraction(gold: str) -> str | None:
    match = re.fullmatch(r"\$?\\d?frac\{(\d+)\}\{(\d+)\}\$?", gold)
    return f"\\frac{{{match[2]}}}{{{match[1]}}}" if match and match[1] != match[2] else None


def _improper(gold: str) -> str | None:
    match = re.fullmatch(r"(\d+) ?\\frac\{(\d+)\}\{(\d+)\}", gold)
    return f"\\frac{{{int(match[1]) * int(match[3]) + int(match[2])}}}{{{match[3]}}}" if match else None


LETTER = r"[A-D]"
NUMBER = r"-?\d+(?:\.\d+)?"
KEEPING: dict[str, Rewrite] = {
    "dfrac": _replace(r"\\frac", r"\\dfrac"),
    "tfrac": _replace(r"\\frac", r"\\tfrac"),
    "slash": _replace(
        r"(?<![\d} ])\\frac\{(\d+)\}\{(\d+)\}",
        r"\1/\2",
        unless=r"[a-zA-Z]\^|\}\^|\^\{|\\frac.*\\frac|\\pi|[a-z] ?\\f|frac\{\d+\}\{\d+\} ?[\\a-z(]",
    ),
    "short frac": _replace(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    "left right": _replace(r"^\((.*)\)$", r"\\left(\1\\right)", unless=r"\).*\("),
    "no left right": _replace(r"\\left|\\right", "", unless=r"\\left\\?[{.]"),
    "spaces": _where(r"[^$]+", "  %s  "),
    "dollars": _where(r"[^$]+", "$%s$"),
    "full stop": _where(r".*[\d}]", "%s."),
    "text unit": _where(NUMBER, "%s \\text{ units}"),
    "unit word": _where(NUMBER, "%s units"),
    "unicode pi": _replace(r"\\pi(?![a-z])", "π"),
    "unicode root": _replace(r"\\sqrt\{(\d+)\}", r"√\1"),
    "unicode degree": _replace(r"\^\{?\\circ\}?", "°"),
    "unicode minus": _replace(r"-", "−", unless=r"[a-zA-Z]{3}|\d-"),
    "thousands comma": _thousands(","),
    "thousands braces": _thousands("{,}"),
    "thousands thin space": _thousands("\\,"),
    "thousands unicode space": _thousands("\u2009"),
    "percent word": _replace(r"\s*\\?%", " percent"),
    "percent text": _replace(r"\s*\\?%", r"\\text{ percent}"),
    "percent dropped": _replace(r"\s*\\?%", ""),
    "degrees dropped": _replace(r"\^\{?\\circ\}?", "", unless=r"angle"),
    "trailing zeros": _where(r"-?\d+", "%s.00"),
    "plus sign": _where(r"\d+", "+%s"),
    "equation": _where(NUMBER, "x=%s"),
    "mixed to improper": _improper,
    "reversed list": _reversed,
    "several boxes": _boxes,
    "bold": _where(NUMBER, "\\mathbf{%s}"),
    "nested box": _where(NUMBER, "\\boxed{%s}"),
    "no box": _where(NUMBER, "\nTherefore, the answer is %s."),
    "gsm8k": _where(NUMBER, "\nSo there are that many.\n#### %s"),
    "chinese": _where(NUMBER, "\n因此，答案是 %s。"),
    "markdown": _where(NUMBER, "\n**Answer:** %s"),
    "last formula": _where(NUMBER, "\nPutting it together we get $n = %s$."),
    "letter stop": _where(LETTER, "%s."),
    "letter brackets": _where(LETTER, "(%s)"),
    "letter bold": _where(LETTER, "**%s**"),
    "letter textbf": _where(LETTER, "\\textbf{(%s)}"),
    "letter option": _where(LETTER, "Option %s"),
    "letter text": _where(LETTER, "(%s) the first case"),
    "letter no box": _where(LETTER, "\nComparing all of them, the correct option is (%s)."),
    "letter chinese": _where(LETTER, "\n综上，正确答案是%s。"),
    "letter selected": _where(LETTER, "\n故选：%s"),
}
CHANGING: dict[str, Rewrite] = {
    "sign": lambda gold: f"-{gold}" if re.fullmatch(r"[1-9]\d*(\.\d+)?", gold) else None,
    "plus one": _plus_one,
    "times 100": _scaled(100),
    "over 100": lambda gold: str(int(gold) / 100) if re.fullmatch(r"[1-9]\d*", gold) else None,
    "swapped fraction": _swapped_fraction,
    "item dropped": _replace(r"^(\d+)\s*,\s*\d+$", r"\1"),
    "pair swapped": _replace(r"^\$?\((\d+), ?(\d+)\)\$?$", r"(\2,\1)", unless=r"\((\d+), ?\1\)"),
    "other letter": lambda gold: {"A": "B", "B": "C", "C": "D", "D": "A"}.get(gold),
    "hedged letter": lambda gold: {"A": "A or B", "B": "B or C", "C": "C or D", "D": "A or D"}.get(gold),
    "open to closed": _replace(r"^\((.*)\]$", r"[\1]"),
    "closed to open": _replace(r"^\$?\[([^,]*,[^,]*)\]\$?$", r"(\1)", unless=r"^\[\d{4,}"),
    "conjugate": _replace(r"^(\d+) ?\+ ?(\d*) ?i$", r"\1-\2i"),
    "hedged boxes": _where(r"\d+", "\n\\boxed{%s} or \\boxed{1%s}"),
    "variable": _replace(r"\bn\b", "k", unless=r"k|\\in|\\ln|\\sin|\(n\) ?="),
    "root dropped": _replace(r"\\sqrt\{(\d+)\}", r"\1", unless=r"\\sqrt\{1\}|\\sqrt.*\\sqrt"),
    "neighbour": _where(r"\d+", "%s.0001"),
}
