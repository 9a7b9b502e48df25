"""A section of the report: the trials that took longest."""

from limo_ablate.report.section import Section, Table
from limo_ablate.report.study_view import StudyView

SHOWN = 5


def slowest(view: StudyView) -> Section | None:
    """None leaves the section out."""
    took = {trial.name: trial.metrics["total_seconds"] for trial in view.done if trial.metrics}
    if not took:
        return None
    longest = sorted(took.items(), key=lambda pair: -pair[1])[:SHOWN]
    rows = [[name, f"{seconds:.1f}"] for name, seconds in longest]
    table = Table(header=["trial", "seconds"], rows=rows, words=1)
    return Section(id="slowest", title="Slowest trials", table=table)
