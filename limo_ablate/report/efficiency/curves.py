"""What follows from the fitted curves; the curves themselves are in the declared figures over an amount."""

from __future__ import annotations

from limo_ablate.analysis.curves import FORMS
from limo_ablate.report.efficiency.equivalence import equivalence_chart
from limo_ablate.report.efficiency.gains import gains_chart
from limo_ablate.report.efficiency.needed import needed_chart
from limo_ablate.report.figure_data import FigureData, Fits
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Section, Table
from limo_ablate.report.study_view import StudyView

TEXT = (
    "Each line is fitted by a power law with a floor, a logistic in the logarithm of the size, and "
    "non-decreasing steps; the form that best predicts each size from the others is taken (last table). "
    "Intervals come from trainings and problems drawn anew, the same for all lines. Nothing is extrapolated: "
    "> and ≤ stand where the answer lies beyond the sizes that were run."
)


def section(view: StudyView) -> Section | None:
    """For every figure with fitted curves: sizes needed, gains, equivalence; and which forms were taken."""
    found = [(data, data.fits) for data in view.panels() if data.fits]
    if not found:
        return None
    made = [
        make(data, fits) for data, fits in found for make in (needed_chart, gains_chart, equivalence_chart)
    ]
    drawn = tuple(picture for picture in made if picture)
    return Section("efficiency", "Data efficiency", (TEXT,), drawn, forms(found))


def forms(found: list[tuple[FigureData, Fits]]) -> Table:
    """Which form was taken for each line, and how far each was off in predicting a size from the others."""
    rows = [
        [data.figure.title, line, curve.form, *(percent(curve.held_out[form], 2) for form in FORMS)]
        for data, fits in found
        for line, curve in fits.curves.items()
    ]
    note = "Held-out error: root mean square, in points of accuracy, of each size predicted from the others."
    return Table(["figure", "line", "form", *(f"held-out error, {form}" for form in FORMS)], rows, 3, [note])
