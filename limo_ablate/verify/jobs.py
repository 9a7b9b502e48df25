"""What helper processes run: SymPy comparisons under a memory limit, and chunks of a batch."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from limo_ablate.verify.limits import WORKER_BYTES

Task = tuple[str, str, Mapping[str, str] | None]
"""Completion, gold answer, and the options where there are any."""


def start(argument: None) -> str:
    """Imports SymPy, then limits the address space to what is taken now and WORKER_BYTES more."""
    import sympy

    taken = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _has_proc() else 0
    )
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = taken + WORKER_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
    return str(sympy.__version__)


def _has_proc() -> bool:
    return Path("/proc/self/statm").exists()


def symbolic(pair: tuple[Any, Any]) -> tuple[bool | None, str]:
    from limo_ablate.verify.symbolic import equal

    try:
        return equal(*pair)
    except MemoryError:
        return None, "more memory than the worker may take"
    except Exception as error:
        return None, f"SymPy: {type(error).__name__}: {error}"[:200]


def verify_chunk(chunk: tuple[list[Task], dict[str, Any]]) -> list[Any]:
    from limo_ablate.verify.api import verify

    tasks, options = chunk
    return [verify(completion, gold, choices=choices, **options) for completion, gold, choices in tasks]


JOBS: dict[str, Callable[[Any], Any]] = {"start": start, "symbolic": symbolic, "verify": verify_chunk}
