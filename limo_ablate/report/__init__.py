"""A study's report: one HTML file that needs no network, and a PNG of each figure."""

from pathlib import Path


def report_study(study: Path) -> Path:
    """Draws `STUDY/report/` from the trials' folders and study.yaml; returns the path of its index.html.

    Raises UserError if there is no study in that folder, or it declares a figure of a block it has not.
    """
    from limo_ablate.report.page import write_report  # draws: Altair and vl-convert take a second to import

    return write_report(study)


__all__ = ["report_study"]
