"""What the contamination gate finds of MATH-500 once it is rewritten, by method; and what it flags wrongly.

    python benchmarks/gate_recall.py [--out benchmarks/results/gate_recall.md]

Needs ../shared/data. Rewrites are made here by rules, so they are milder or harsher than a model's: they say
what kind of change each method survives, not how often an exam is rewritten so.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT))

from limo_ablate.core.artifacts import Artifact, Store  # noqa: E402
from limo_ablate.data.select.contamination import flags  # noqa: E402
from limo_ablate.trial.compose import compose  # noqa: E402

METHODS = ("exact", "ngram", "whole", "masked", "minhash")
SYNONYMS = {
    "find": "determine", "compute": "calculate", "what": "which", "evaluate": "work out", "number": "count",
    "positive": "greater-than-zero", "how": "in what way", "many": "numerous", "the": "this", "is": "equals",
    "let": "suppose", "such": "so", "express": "write", "value": "result", "if": "given that", "and": "plus",
    "are": "were", "simplify": "reduce", "point": "spot", "all": "every", "real": "true", "sum": "total",
}  # fmt: skip
GERMAN = {
    "find": "finde", "compute": "berechne", "what": "was", "is": "ist", "the": "die", "of": "von",
    "and": "und", "a": "ein", "if": "wenn", "how": "wie", "many": "viele", "for": "für", "to": "zu",
    "are": "sind",
    "that": "dass", "let": "sei", "be": "sein", "with": "mit", "value": "Wert", "number": "Zahl",
    "all": "alle", "each": "jede", "on": "auf", "point": "Punkt", "evaluate": "werte aus", "real": "reell",
    "express": "drücke", "your": "deine", "answer": "Antwort", "as": "als", "from": "aus",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")


def every_word(words: dict[str, str]) -> Callable[[str, random.Random], str]:
    def rewrite(text: str, chance: random.Random) -> str:
        return _WORD.sub(lambda found: words.get(found[0].lower(), found[0]), text)

    return rewrite


def some_words(share: float) -> Callable[[str, random.Random], str]:
    def rewrite(text: str, chance: random.Random) -> str:
        return " ".join("thus" if chance.random() < share else word for word in text.split(" "))

    return rewrite


def renumbered(text: str, chance: random.Random) -> str:
    return re.sub(r"\d+", lambda _: str(chance.randrange(2, 99)), text)


def reordered(text: str, chance: random.Random) -> str:
    parts = re.split(r"(?<=[.?!])\s+", text)
    chance.shuffle(parts)
    return " ".join(parts)


REWRITES: dict[str, Callable[[str, random.Random], str]] = {
    "as it is": lambda text, chance: text,
    "an instruction after it": lambda text, chance: f"{text} Reason step by step and box the answer.",
    "inside a longer text": lambda text, chance: f"Here is a task from a contest. {text} Try it yourself.",
    "other punctuation, case, spaces": lambda text, chance: re.sub(r"[.,?!$]", " ", text).upper(),
    "sentences in another order": reordered,
    "one word in twenty replaced": some_words(0.05),
    "one word in five replaced": some_words(0.2),
    "other numbers": renumbered,
    "common words by synonyms": every_word(SYNONYMS),
    "synonyms and other numbers": lambda text, chance: renumbered(every_word(SYNONYMS)(text, chance), chance),
    "common words in German": every_word(GERMAN),
}


def saved(store: Store, stage: str, texts: list[str]) -> Artifact:
    frame = pl.DataFrame({"id": [str(place) for place in range(len(texts))], "text": texts})
    return store.build(
        stage, {"texts": texts}, lambda folder: frame.write_parquet(folder / "problems.parquet")
    )


def report(store: Store) -> list[str]:
    """A row for each rewrite: of 500 items, those whose own rewrite is flagged for them."""
    config = compose(["select/contamination=report"]).select.contamination
    lines = (DATA / "limo-eval/math/test.jsonl").read_text().strip().split("\n")
    items = [json.loads(line)["problem"] for line in lines]
    benchmark = saved(store, "benchmark", items)
    table = [f"| rewrite | any | {' | '.join(METHODS)} |", f"|---|{'---|' * (len(METHODS) + 1)}"]
    for name, rewrite in REWRITES.items():
        chance = random.Random(0)
        pool = saved(store, "pool", [rewrite(text, chance) for text in items])
        pairs = pl.read_parquet(flags(store, config, pool, {"math": benchmark}).path / "flags.parquet")
        own = pairs.filter(pl.col("problem") == pl.col("item"))
        found = [own.filter(method=method)["item"].n_unique() for method in METHODS]
        table.append(f"| {name} | {own['item'].n_unique()} | {' | '.join(map(str, found))} |")
    gsm = (DATA / "pools/gsm8k_test.jsonl").read_text().strip().split("\n")
    others = saved(store, "pool", [json.loads(line)["question"] for line in gsm])
    wrong = pl.read_parquet(flags(store, config, others, {"math": benchmark}).path / "flags.parquet")
    return [*table, "", f"Of {len(gsm):,} problems of GSM8K, {wrong['problem'].n_unique()} are flagged."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = report(Store(folder))
    text = "\n".join(
        ["# The gate on rewrites of MATH-500", "", "`python benchmarks/gate_recall.py`", "", *lines, ""]
    )
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
