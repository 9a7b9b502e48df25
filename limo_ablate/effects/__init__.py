"""From the records of a study's trials to cell means with honest errors. Imports no torch.

trials = load_trials(Path("outputs/studies/miniature"))
summary(table(trials), items(trials), by=["select.size", "select.quality"])
"""

from limo_ablate.effects.items import items
from limo_ablate.effects.measures import measured, measures
from limo_ablate.effects.summary import summary
from limo_ablate.effects.table import SCORES, TRAINED, table
from limo_ablate.effects.trials import Trial, load_trials

ANALYSIS = 2
"""Version of what turns verdicts into claims: raised when the same data would give other numbers."""

__all__ = [
    "ANALYSIS", "SCORES", "TRAINED", "Trial", "items", "load_trials", "measured", "measures", "summary",
    "table",
]  # fmt: skip
