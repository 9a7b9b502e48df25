"""Degenerate solutions: repetitions, several scripts mixed, reasoning that is empty (`select.degenerate`).

A filter of form, which reads no meaning. It is off by default; solutions that it would drop are then told of
where they are chosen.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.text import counted, ends_in_a_loop

COMPRESSED, LONG = 8, 500
"""A repetition: a text of at least 500 characters that zlib makes 8 times smaller; reasoning is made 2 to 4
times smaller."""
SCRIPTS, SHARE, LETTERS = 3, 0.02, 5
"""Mixed: at least 3 scripts with 2 % of the letters each, and 5 letters. Greek stands in formulas, and the
scripts of East Asia stand together: neither counts apart."""
FAMILIES = {
    "Latin": "Latin", "Cyrillic": "Cyrillic", "Arabic": "Arabic", "Hebrew": "Hebrew", "Thai": "Thai",
    "Devanagari": "Devanagari", "Bengali": "Bengali", "Tamil": "Tamil", "Telugu": "Telugu",
    "Georgian": "Georgian", "Armenian": "Armenian", "Ethiopic": "Ethiopic", "Khmer": "Khmer",
    "Han": "East Asian", "Hiragana": "East Asian", "Katakana": "East Asian", "Hangul": "East Asian",
}  # fmt: skip
"""Script -> its name here."""
_EMPTY = re.compile(r"<(think|thinking)>\s*</\1>|<\|begin_of_thought\|>\s*<\|end_of_thought\|>")
_NOTHING_AFTER = re.compile(
    r"(?:</think>|</thinking>|<\|end_of_thought\|>)"
    r"\s*+(?:<\|begin_of_solution\|>\s*+<\|end_of_solution\|>)?+\s*+\Z"
)
r"""Possessive, since two `\s*` beside each other take quadratic time on a long run of whitespace."""
BATCH = 2_000
"""Solutions in memory at a time."""


def degenerate(store: Store, pool: Artifact) -> Artifact:
    """`degenerate.parquet`: solution, degenerate (why), of those that are."""
    return store.build("degenerate", {"pool": pool}, lambda folder: _write(pool, folder))


def _write(pool: Artifact, folder: Path) -> None:
    from pyarrow.parquet import ParquetFile

    found: list[tuple[str, str]] = []
    for batch in ParquetFile(pool.path / "solutions.parquet").iter_batches(BATCH, columns=["id", "text"]):
        pairs = zip(batch["id"].to_pylist(), map(reason, batch["text"].to_pylist()), strict=True)
        found += [(solution, why) for solution, why in pairs if why]
    schema = {"solution": pl.String, "degenerate": pl.String}
    pl.DataFrame(found, schema=schema, orient="row").write_parquet(folder / "degenerate.parquet")


def reason(text: str) -> str | None:
    """Why a solution is degenerate; None if it is not."""
    if ends_in_a_loop(text.rstrip()):
        return "it ends in a repetition"
    if len(text) >= LONG:
        raw = text.encode(errors="replace")
        if len(raw) >= COMPRESSED * len(zlib.compress(raw)):
            return "it repeats itself"
    if mixed := _mixed(text):
        return f"it mixes {', '.join(mixed)}"
    if _EMPTY.search(text):
        return "its reasoning is empty"
    return "nothing follows its reasoning" if _NOTHING_AFTER.search(text) else None


def _mixed(text: str) -> list[str]:
    """The scripts of a text that mixes several."""
    if text.isascii() or len({_family(character) for character in set(text)} - {None}) < SCRIPTS:
        return []
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if family := _family(character):
            counts[family] += count
    least = max(LETTERS, SHARE * counts.total())
    found = sorted(family for family, count in counts.items() if count >= least)
    return found if len(found) >= SCRIPTS else []


@cache
def _family(character: str) -> str | None:
    import regex  # knows scripts, which `re` does not

    if not character.isalpha():
        return None
    names = (name for script, name in FAMILIES.items() if regex.match(rf"\p{{{script}}}", character))
    return next(names, None)


def told(texts: Iterable[str | None]) -> str | None:
    """What is said of solutions some of which are degenerate; None where none is."""
    reasons = Counter(why for text in texts if text and (why := reason(text)))
    if not reasons:
        return None
    most, count = reasons.most_common(1)[0]
    return f"{counted(reasons.total(), 'solution')} seem degenerate, most often because {most} ({count})"
