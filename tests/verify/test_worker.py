"""Helper processes: under threads and forks, when they die, and what importing the verifier loads."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from limo_ablate.verify import jobs, verify, verify_many
from tests.waiting import PATIENCE, gone, until

ROOT = Path(__file__).resolve().parents[2]
INTEGRAL = r"\boxed{\int_0^1 2x\,dx}"


def test_importing_loads_neither_sympy_nor_torch() -> None:
    heavy = ("sympy", "torch", "polars", "numpy")
    code = f"import sys, limo_ablate.verify; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_cheap_checks_start_no_process() -> None:
    code = (
        "from limo_ablate.verify import jobs, verify\n"
        r"verify(r'\boxed{2\sqrt2}', r'\sqrt8'); verify(r'\boxed{x^2-1}', '(x-1)(x+1)')"
        "\nprint(jobs.SYMPY.worker)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "None"


def test_threads_share_a_worker() -> None:
    verdicts = []

    def grade(k: int) -> None:
        verdicts.append((k, verify(rf"\boxed{{\int_0^1 {k}x\,dx}}", rf"\frac{{{k}}}{{2}}").status))

    threads = [threading.Thread(target=grade, args=(k,)) for k in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == [(k, "correct") for k in range(2, 8)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_in_forked_spawned_and_fork_server_processes(method: str) -> None:
    assert verify(INTEGRAL, "1").correct  # the parent's worker must not be used by the child
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        result = pool.apply_async(verify, (r"\boxed{\int_0^3 x^2\,dx}", "9"))
        assert result.get(timeout=PATIENCE).status == "correct"
    assert verify(r"\boxed{\int_0^1 4x\,dx}", "2").correct


def test_a_killed_worker_is_replaced() -> None:
    assert verify(INTEGRAL, "1").correct
    assert jobs.SYMPY.worker is not None
    jobs.SYMPY.worker.process.kill()
    jobs.SYMPY.worker.process.wait()
    assert verify(r"\boxed{\int_0^1 11x^2\,dx}", r"\frac{11}{3}").correct


def test_an_integral_is_computed_once() -> None:
    """Its quadrature used to be repeated with ever more digits: 13 s, past the limit."""
    assert verify(r"\boxed{\int_{-\infty}^{\infty} e^{-x^2}\,dx}", r"\sqrt{\pi}").correct
    assert verify(r"\boxed{\int_{-\infty}^{\infty} e^{-x^2}\,dx}", r"\sqrt{3}").status == "incorrect"
    assert verify(r"\boxed{\int_0^1\int_0^2 (x+y)\,dx\,dy}", "3").correct


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    """Killed in the middle of a call, that one can't keep the time limit any more."""
    program = (
        "import os, time\n"
        "from limo_ablate.verify.worker import WorkerProcess, write_message\n"
        "worker = WorkerProcess()\n"
        "write_message(worker.process.stdin, (time.sleep, 3600))\n"
        "print(worker.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    started = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    until(lambda: gone(int(started.stdout)))


def test_memory_of_a_worker_is_bounded() -> None:
    code = (
        "from limo_ablate.verify import jobs, limits\n"
        "jobs.start_sympy(None)\n"
        "try: bytearray(2 * limits.WORKER_BYTES); print('taken')\n"
        "except MemoryError: print('refused')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "refused"


def test_a_worker_that_can_not_start_loses_no_verdict_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread used to end with it, and the batch came back shorter, without an error."""

    def refused() -> jobs.WorkerProcess:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(jobs, "WorkerProcess", refused)
    with pytest.raises(RuntimeError, match="a verifier process failed: Resource temporarily unavailable"):
        verify_many([(r"\boxed{15}", "15")] * 3, workers=2)
