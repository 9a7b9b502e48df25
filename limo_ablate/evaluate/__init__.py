"""From completions to verdicts and scores."""

from limo_ablate.evaluate.scores import benchmark_scores
from limo_ablate.evaluate.verdicts import verdicts

__all__ = ["benchmark_scores", "verdicts"]
