"""Work done in worker processes: SymPy comparisons under a memory limit, and batches of answers."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from limo_ablate.verify.deadline import spend_worker_seconds, worker_seconds
from limo_ablate.verify.limits import WORKER_BYTES, WORKER_SECONDS, WORKER_START_SECONDS
from limo_ablate.verify.nodes import Node
from limo_ablate.verify.verdict import Outcome, different, same, undecided
from limo_ablate.verify.worker import SharedWorker, WorkerDied, WorkerProcess, WorkerTookTooLong

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 64
"""Items sent to a worker at a time."""


def symbolic_equal(gold: Node, answer: Node) -> Outcome:
    """Compares with SymPy, in a process that is killed when it takes too much time or memory."""
    seconds = worker_seconds()
    try:
        (equal, reason), spent = SYMPY.call(_compare_with_sympy, (gold, answer), seconds)
    except WorkerTookTooLong:
        spend_worker_seconds(seconds)
        return undecided("limit", f"more than {WORKER_SECONDS:g} s in the worker")
    except WorkerDied as error:
        return undecided("limit", str(error))
    spend_worker_seconds(spent)
    if equal is None:
        return undecided("symbolic", reason)
    return same("symbolic") if equal else different("symbolic", reason)


def start_sympy(_: None) -> None:
    """Imports SymPy, then limits the address space to its present size plus WORKER_BYTES."""
    import psutil
    import sympy  # noqa: F401

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = psutil.Process().memory_info().vms + WORKER_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


SYMPY = SharedWorker(start_sympy, WORKER_START_SECONDS)
"""This process's worker for SymPy."""


def _compare_with_sympy(pair: tuple[Node, Node]) -> tuple[bool | None, str]:
    from limo_ablate.verify.symbolic import equal

    try:
        return equal(*pair)
    except MemoryError:
        return None, "more memory than the worker may take"
    except Exception as error:
        return None, f"SymPy: {type(error).__name__}: {error}"[:200]


def map_in_chunks(
    function: Callable[[list[T]], list[R]],
    items: Sequence[T],
    workers: int,
    progress: Callable[[int], None] | None,
) -> list[R]:
    """Applies `function`, which must be picklable, to chunks of `items` in worker processes.

    Each free worker takes the next chunk. Results are in the order of `items`. Raises RuntimeError when a
    worker can't be started or dies.
    """
    chunks = [list(items[at : at + CHUNK]) for at in range(0, len(items), CHUNK)]
    results: list[list[R] | None] = [None] * len(chunks)
    waiting = iter(range(len(chunks)))
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        process = None
        try:
            process = WorkerProcess()
            while True:
                with lock:
                    place = next(waiting, None)
                if place is None or failures:
                    return
                results[place] = process.call(function, chunks[place], None)
                if progress:
                    with lock:
                        progress(sum(len(result) for result in results if result))
        except Exception as error:  # raised below: a thread that ends early must not lose its items
            failures.append(error)
        finally:
            if process is not None:
                process.kill()

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(chunks)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a verifier process failed: {failures[0]}") from failures[0]
    return [result for chunk in results if chunk for result in chunk]
