"""Hostile text: it neither hangs nor grows nor raises nor runs; and the audit hook sees nothing."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from limo_ablate.verify import verify
from limo_ablate.verify.jobs import SYMPY
from limo_ablate.verify.limits import WORKER_SECONDS
from tests.waiting import PATIENCE

TEXTS = runpy.run_path(str(Path(__file__).with_name("hostile.py")))
ANSWERS: dict[str, str] = TEXTS["ANSWERS"]
COMPLETIONS: dict[str, str] = TEXTS["COMPLETIONS"]
DEAR = {"infinite sum", "integral", "integrals", "limit", "integrals in a list", "nested limits"}
"""Their cost is the worker's, tested apart."""
RIGHT = {"megabyte of spaces", "null bytes", "surrogates", "right to left", "joiners"}
"""Decoration of a right answer."""
CPU_SECONDS = 1.0
"""Far above what is measured (0.13 s at most), so that a slow machine passes and a blow-up does not."""


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in DEAR])
@pytest.mark.parametrize("gold", ["5", r"\frac{\sqrt{2}}{3}", "x^2+1"])
def test_answers_and_golds(name: str, gold: str) -> None:
    for completion, reference in (
        (f"\\boxed{{{ANSWERS[name]}}}", gold),
        (f"\\boxed{{{gold}}}", ANSWERS[name]),
    ):
        began = time.process_time()
        verdict = verify(completion, reference)
        assert time.process_time() - began < CPU_SECONDS
        assert verdict.rule != "error", verdict.reason
        assert verdict.correct == (name in RIGHT and gold == "5")


@pytest.mark.parametrize("name", COMPLETIONS)
@pytest.mark.parametrize("mode", ["boxed", "stated", "lenient"])
def test_completions(name: str, mode: str) -> None:
    began = time.process_time()
    verdict = verify(COMPLETIONS[name], "7", extract=mode)  # type: ignore[arg-type]
    assert time.process_time() - began < CPU_SECONDS
    assert verdict.rule != "error"
    assert not verdict.correct


def test_a_verdict_has_one_deadline_however_many_comparisons_it_needs() -> None:
    """Ten integrals a side used to have the worker's limit each."""
    verify(r"\boxed{\int_0^1 2x\,dx}", "1")  # the worker's start is not counted
    worker = psutil.Process(SYMPY.worker.process.pid) if SYMPY.worker else None
    assert worker is not None
    before = worker.cpu_times().user
    began = time.thread_time()
    gold = ANSWERS["integrals in a list"].replace("sin", "cos")
    verdict = verify(f"\\boxed{{{ANSWERS['integrals in a list']}}}", gold)
    assert (verdict.status, verdict.rule) == ("undecided", "limit")
    assert time.thread_time() - began < CPU_SECONDS
    assert not worker.is_running() or worker.cpu_times().user - before < 2 * WORKER_SECONDS


def test_a_worker_that_takes_too_long_is_replaced() -> None:
    slow = verify(f"\\boxed{{{ANSWERS['infinite sum']}}}", "5")
    assert (slow.status, slow.rule) == ("undecided", "limit")
    assert f"{WORKER_SECONDS:g} s" in str(slow.reason)
    assert verify(r"\boxed{\int_0^1 2x\,dx}", "1").correct


AUDIT = """
import runpy, sys
from limo_ablate.verify import verify
ANSWERS, COMPLETIONS = map(runpy.run_path("tests/verify/hostile.py").get, ("ANSWERS", "COMPLETIONS"))
verify(r"\\boxed{{\\sqrt8}}", r"2\\sqrt2")
seen = []
watched = ("exec", "compile", "import", "open", "os.", "subprocess", "socket", "ctypes", "shutil", "pty")
sys.addaudithook(lambda event, args: seen.append((event, repr(args)[:200])) if event.startswith(watched)
else None)
for name, text in ANSWERS.items():
    if name not in {dear!r}:
        for gold in ("5", "x+1", "(1,2)", "yes"):
            verify("\\\\boxed{{" + text + "}}", gold)
            verify("\\\\boxed{{" + gold + "}}", text)
for text in COMPLETIONS.values():
    verify(text, "5")
print(seen)
"""


def test_no_text_is_executed_compiled_imported_or_opened() -> None:
    root = str(Path(__file__).resolve().parents[2])
    code = AUDIT.format(dear=DEAR)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
