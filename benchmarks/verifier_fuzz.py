"""Coverage-guided fuzzing of the verifier with atheris: no exception, no long run, symmetric verdicts.

    python benchmarks/verifier_fuzz.py -max_total_time=300 [corpus folder]

Needs `pip install atheris` in an environment of its own. The corpus starts from the golden set.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import atheris  # noqa: E402

with atheris.instrument_imports(include=["limo_ablate.verify"]):
    from limo_ablate.verify.api import compare_answers, verify
    from limo_ablate.verify.cache import clear_caches

CPU_SECONDS = 0.25
"""What one text may take in the calling thread."""


def check(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    gold, _, answer = text.partition("\n")
    if "\\int" in text or "\\lim" in text or "infty" in text:  # the worker's time is not fuzzed
        return
    clear_caches()
    began = time.process_time()
    verdict = verify(f"\\boxed{{{answer}}}", gold)
    spent = time.process_time() - began
    if verdict.rule == "error":
        raise RuntimeError(f"raised: {verdict.reason}")
    if spent > CPU_SECONDS:
        raise RuntimeError(f"took {spent:.2f} s")
    if gold.strip() and answer.strip():
        forth, back = compare_answers(gold, answer), compare_answers(answer, gold)
        if (forth.equal is True) != (back.equal is True):
            raise RuntimeError(f"asymmetric: {forth} {back}")


def seed(folder: Path) -> None:
    """The golden set's pairs as the first corpus."""
    for file in (ROOT / "tests/verify/golden").glob("*.jsonl"):
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n")):
            if line:
                row = json.loads(line)
                answer = row["completion"].rpartition("boxed{")[2].rpartition("}")[0]
                (folder / f"{file.stem}-{number}").write_text(f"{row['gold']}\n{answer}", encoding="utf-8")


def main() -> None:
    arguments = list(sys.argv)
    if not any(Path(argument).is_dir() for argument in arguments[1:]):
        folder = Path(tempfile.mkdtemp())
        seed(folder)
        arguments.append(str(folder))
    atheris.Setup(arguments, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
