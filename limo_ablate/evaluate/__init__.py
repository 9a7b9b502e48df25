"""From completions to verdicts and scores."""

from limo_ablate.evaluate.scores import Results, benchmark_scores
from limo_ablate.evaluate.verdicts import verdicts

__all__ = ["Results", "benchmark_scores", "verdicts"]
