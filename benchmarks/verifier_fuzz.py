"""Fuzzing of the verifier: no exception, no long run, symmetric verdicts; or a search for its slowest inputs.

    python benchmarks/verifier_fuzz.py -max_total_time=300 [corpus folder]
    python benchmarks/verifier_fuzz.py --slowest 300

The first is guided by coverage (atheris) and needs `pip install atheris` in an environment of its own. The
second keeps the inputs that took longest and changes them further: it repeats, nests, joins and cuts their
parts. Both start from the golden set.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CPU_SECONDS = 0.25
"""What one verdict may take in the calling thread."""
KEPT = 300
"""Slowest inputs that are changed further."""
LONGEST = 4_000
"""Characters of an input: longer answers are barely parsed."""
PARTS = (
    r"\left|%s\right|", r"\sqrt{%s}", r"\frac{%s}{x}", r"\frac{1}{%s}", "(%s)^{%s}", r"\sum_{k=1}^{999}(%s)",
    r"\prod_{k=1}^{99}(%s)", r"\binom{%s}{7}", "(%s)!", r"\begin{pmatrix}%s&1\\2&%s\end{pmatrix}",
    r"\{%s,%s\}", "(%s,%s)", r"%s\cup(%s)", "%s,%s", "%s=%s", "|%s|<3", r"%s\pm%s", r"\bigcup_{k=1}^{n}(%s)",
    "x>%s", r"\text{%s}", r"\begin{cases}%s&x>0\\%s&x<0\end{cases}", r"\log_{%s}(%s)", r"\lfloor%s\rfloor",
    "%s%s", "(1) %s; (2) %s", r"\begin{vmatrix}%s&1\\2&%s\end{vmatrix}", r"%s \text{ for all } x",
)  # fmt: skip
"""Templates that nest an input."""


class Slow(NamedTuple):
    seconds: float
    gold: str
    answer: str


def golden() -> Iterator[tuple[str, str]]:
    """(gold answer, answer) of the golden set."""
    for file in sorted((ROOT / "tests/verify/golden").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line:
                row = json.loads(line)
                yield row["gold"], row["completion"].rpartition("boxed{")[2].rpartition("}")[0]


def seconds_of(gold: str, answer: str) -> float:
    """Processor time of a verdict in the calling thread, without caches."""
    from limo_ablate.verify.api import verify
    from limo_ablate.verify.cache import clear_caches

    clear_caches()
    began = time.thread_time()
    verify(f"\\boxed{{{answer}}}", gold)
    return time.thread_time() - began


def changed(text: str, other: str, rng: random.Random) -> str:
    """`text` with a part repeated, cut or replaced, or nested in a template."""
    low, high = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    match rng.randrange(6):
        case 0:
            text = text[:low] + text[low:high] * rng.choice((2, 3, 10, 40)) + text[high:]
        case 1:
            text = text[:low] + text[high:]
        case 2:
            text = text[:low] + other + text[low:]
        case 3:
            text = text[:low] + rng.choice("0123456789xyn^!|+-*/(){}=<>,.") + text[high:]
        case _:
            template = rng.choice(PARTS)
            for _ in range(rng.choice((1, 1, 2, 5, 12))):
                text = template.replace("%s", text, 1).replace("%s", other)[:LONGEST]
    return text[:LONGEST]


def slowest(seconds: float, seed: int = 0) -> list[Slow]:
    """The ten slowest verdicts that a search of so many seconds finds."""
    rng = random.Random(seed)
    pairs = list(golden())
    kept = [Slow(seconds_of(gold, answer), gold, answer) for gold, answer in pairs]
    kept = heapq.nlargest(KEPT, kept)
    heapq.heapify(kept)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        _, gold, answer = rng.choice(kept)
        other = rng.choice(rng.choice(pairs))
        if rng.random() < 0.7:
            answer = changed(answer, other, rng)
        if rng.random() < 0.5:
            gold = rng.choice((answer, changed(answer, other, rng), changed(gold, other, rng)))
        if needs_worker(gold + answer):
            continue
        found = Slow(seconds_of(gold, answer), gold, answer)
        if found > kept[0]:
            heapq.heapreplace(kept, found)
    return heapq.nlargest(10, kept)


def needs_worker(text: str) -> bool:
    """Whether SymPy's worker would compare it: its time is limited by the worker, and is not fuzzed."""
    return any(command in text for command in (r"\int", r"\lim", "infty", "∞", "∫", r"\oint", "inf", "oo"))


def check(data: bytes) -> None:
    from limo_ablate.verify.api import compare_answers, verify

    text = data.decode("utf-8", "replace")
    gold, _, answer = text.partition("\n")
    if needs_worker(text):
        return
    spent = seconds_of(gold, answer)
    if spent > CPU_SECONDS:
        raise RuntimeError(f"took {spent:.2f} s")
    verdict = verify(f"\\boxed{{{answer}}}", gold)
    if verdict.rule == "error":
        raise RuntimeError(f"raised: {verdict.reason}")
    if gold.strip() and answer.strip():
        forth, back = compare_answers(gold, answer), compare_answers(answer, gold)
        if (forth.equal is True) != (back.equal is True):
            raise RuntimeError(f"asymmetric: {forth} {back}")


def fuzz(arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["limo_ablate.verify"]):
        import limo_ablate.verify.api  # noqa: F401
    if not any(Path(argument).is_dir() for argument in arguments[1:]):
        folder = Path(tempfile.mkdtemp())
        for number, pair in enumerate(golden()):
            (folder / str(number)).write_text("\n".join(pair), encoding="utf-8")
        arguments = [*arguments, str(folder)]
    atheris.Setup(arguments, check)
    atheris.Fuzz()


def main() -> None:
    if sys.argv[1:2] == ["--slowest"]:
        for found in slowest(float(sys.argv[2])):
            print(f"{found.seconds:.3f} s  gold {found.gold!r}  answer {found.answer!r}")
    else:
        fuzz(sys.argv)


if __name__ == "__main__":
    main()
