"""Effects with confidence intervals from the verdicts of a study's trials. Imports no torch.

trials = load_trials(Path("outputs/studies/miniature"))
summary(table(trials), items(trials), by=["select.size", "select.quality"])
"""

ANALYSIS = 4
"""Version of the analysis: raised when the same verdicts would give other numbers."""
