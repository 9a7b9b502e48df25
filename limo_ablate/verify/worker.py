"""Comparisons and batches in helper processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from limo_ablate.verify.child import Child, ChildDied, Worker
from limo_ablate.verify.jobs import Task
from limo_ablate.verify.limits import WORKER_SECONDS, WORKER_START_SECONDS
from limo_ablate.verify.nodes import Node
from limo_ablate.verify.outcome import Outcome, different, same, unknown
from limo_ablate.verify.verdict import Verdict

CHUNK = 64
"""Pairs sent to a process at a time."""

SYMPY = Worker()


def symbolic_equal(gold: Node, answer: Node) -> Outcome:
    """SymPy's opinion, in a process that is killed when it takes too long or too much memory."""
    try:
        equal, reason = SYMPY.call(
            "symbolic", (gold, answer), start_seconds=WORKER_START_SECONDS, seconds=WORKER_SECONDS
        )
    except ChildDied as error:
        return unknown("limit", str(error))
    if equal is None:
        return unknown("symbolic", reason)
    return same("symbolic") if equal else different("symbolic", reason)


def verify_chunks(
    tasks: list[Task],
    options: dict[str, Any],
    workers: int,
    progress: Callable[[int], None] | None,
) -> list[Verdict]:
    """Chunks in order of arrival to whichever helper is free; results in the order of `tasks`."""
    chunks = [tasks[at : at + CHUNK] for at in range(0, len(tasks), CHUNK)]
    results: list[list[Verdict] | None] = [None] * len(chunks)
    waiting = iter(range(len(chunks)))
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        child = Child()
        try:
            while True:
                with lock:
                    place = next(waiting, None)
                if place is None or failures:
                    return
                results[place] = child.call("verify", (chunks[place], options), None)
                if progress:
                    with lock:
                        progress(sum(len(done) for done in results if done))
        except ChildDied as error:
            failures.append(error)
        finally:
            child.kill()

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(chunks)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a verifier process died: {failures[0]}")
    return [verdict for chunk in results if chunk for verdict in chunk]
