"""Error rates on labelled completions, by source and by kind of gold answer, beside another grader's."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.nodes import Number, as_number
from limo_ablate.verify.score import Graded
from limo_ablate.verify.verdict import VERSION

Z = 1.959963984540054
"""Standard normal quantile of 97.5 %."""
KINDS = {
    "Listing": "list", "SetOf": "set", "Builder": "set", "SetOperation": "set", "Group": "point or interval",
    "Matrix": "matrix", "Relation": "equation or inequality", "Logic": "equation or inequality",
    "Cases": "piecewise", "Words": "words", "Clock": "time or date", "Date": "time or date", "Ratio": "ratio",
    "Percent": "percent", "Degrees": "angle", "Numeral": "number in a base", "PlusMinus": "list",
}  # fmt: skip
"""Class of a parsed gold answer -> its kind; of any other it is an expression."""
MEASURED = Path(__file__).with_name("error_rates.json")
"""Totals of an audit of one version of the verifier, see benchmarks/error_rates.py."""
ALL, OURS = "all", "limo-ablate"
LETTERS = frozenset("ABCDEFGHIJ")


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a grader was wrong."""

    wrong: int
    n: int

    @property
    def value(self) -> float:
        return self.wrong / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of 95 %, 0..1 (Wilson 1927); (0, 1) without completions."""
        if not self.n:
            return 0.0, 1.0
        share, spread = self.value, Z**2 / self.n
        middle = (share + spread / 2) / (1 + spread)
        half = Z * math.sqrt(share * (1 - share) / self.n + spread / (4 * self.n)) / (1 + spread)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Of the completions of one source, one kind of gold answer, or all."""

    group: str
    """`source NAME`, `kind NAME` or `all`."""
    grader: str
    false_positive: Rate
    """Graded correct, of those that are labelled incorrect."""
    false_negative: Rate
    """Not graded correct, of those that are labelled correct: incorrect or undecided."""
    undecided: int
    """Number of undecided completions."""


def audit(graded: Sequence[Graded], peers: Mapping[str, Sequence[bool]]) -> list[ErrorRates]:
    """Error rates of the verifier and of `peers` (grader -> whether it takes each completion for correct).

    Raises UserError where a completion has no label.
    """
    if unlabelled := next((item for item in graded if item.reference is None), None):
        raise UserError(f"line {unlabelled.line}: no `reference_correct`; an audit needs each row's label")
    graders = {OURS: [item.verdict.correct for item in graded], **peers}
    return [
        _rates(group, grader, [(graded[n], correct[n]) for n in numbers])
        for group, numbers in _groups(graded).items()
        for grader, correct in graders.items()
    ]


def _rates(group: str, grader: str, own: Sequence[tuple[Graded, bool]]) -> ErrorRates:
    right = [correct for item, correct in own if item.reference]
    wrong = [correct for item, correct in own if not item.reference]
    undecided = sum(item.verdict.status == "undecided" for item, _ in own) if grader == OURS else 0
    return ErrorRates(
        group, grader, Rate(sum(wrong), len(wrong)), Rate(right.count(False), len(right)), undecided
    )


def _groups(graded: Sequence[Graded]) -> dict[str, list[int]]:
    """Name of a group -> numbers of its completions: all, each source, each kind of gold answer."""
    groups: dict[str, list[int]] = {ALL: list(range(len(graded)))}
    for prefix, name_of in (("source", lambda item: item.source), ("kind", lambda item: kind(item.gold))):
        found: dict[str, list[int]] = {}
        for number, item in enumerate(graded):
            found.setdefault(f"{prefix} {name_of(item)}", []).append(number)
        groups |= dict(sorted(found.items()))
    return groups


def kind(gold: str) -> str:
    """The kind of a gold answer, as the verifier parses it."""
    if gold.strip(" ().$") in LETTERS:
        return "choice"
    node = read_answer(gold).node
    if node is None:
        return "not parsed"
    if isinstance(node := as_number(node), Number):
        return "integer" if node.value.denominator == 1 else "fraction or decimal"
    return KINDS.get(type(node).__name__, "expression")


@dataclass(frozen=True, slots=True)
class Measured:
    """Error rates of this version of the verifier."""

    completions: int
    sources: int
    false_positive: Rate
    false_negative: Rate


def measured() -> Measured | None:
    """What was measured of this version of the verifier; None if nothing was."""
    found = json.loads(MEASURED.read_text())
    if found["version"] != VERSION:
        return None
    rates = (Rate(*found["false_positive"]), Rate(*found["false_negative"]))
    return Measured(found["completions"], found["sources"], *rates)


def by_math_verify(graded: Iterable[Graded]) -> list[bool]:
    """Whether Math-Verify, with its defaults, takes each completion for correct. Raises UserError."""
    try:
        peer: Any = importlib.import_module("math_verify")
    except ImportError:
        raise UserError(
            "--peer=math-verify lacks its package: pip install 'math-verify[antlr4_9_3]'"
        ) from None

    def takes(item: Graded) -> bool:
        try:
            return bool(peer.verify(peer.parse(f"${item.gold}$"), peer.parse(item.completion)))
        except Exception:  # whatever it raises, it has not found the answer correct
            return False

    return [takes(item) for item in graded]


def lines(rates: Iterable[ErrorRates]) -> Iterator[str]:
    """A Markdown table."""
    yield "| completions | grader | false positives, % (95 %) | false negatives, % (95 %) | undecided |"
    yield "|---|---|---|---|---|"
    for row in rates:
        undecided = row.undecided if row.grader == OURS else ""
        cells = (row.group, row.grader, _percent(row.false_positive), _percent(row.false_negative), undecided)
        yield f"| {' | '.join(map(str, cells))} |"


def _percent(rate: Rate) -> str:
    low, high = rate.interval
    if not rate.n:
        return "–"
    return f"{100 * rate.value:.2f} ({100 * low:.2f} to {100 * high:.2f}; {rate.wrong} of {rate.n:,})"
