"""From the verdicts of a study's trials to effects with confidence intervals. Imports no torch.

trials = load_trials(Path("outputs/studies/miniature"))
summary(table(trials), items(trials), by=["select.size", "select.quality"])
"""

ANALYSIS = 2
"""Version of what turns verdicts into effects: raised when the same data would give other numbers."""
