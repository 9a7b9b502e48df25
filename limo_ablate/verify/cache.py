"""What is remembered: parsed answers and comparisons, keyed by their texts, in this process only."""

from __future__ import annotations

from limo_ablate.verify import answer, api, grade


def clear() -> None:
    """Forget all of it; benchmarks measure without."""
    for remembered in (answer.read, answer.readings, grade.compare_read, api.form):
        remembered.cache_clear()
