"""Section on data efficiency: quantities read from the curves that the declared figures show."""

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
    "Each line is fitted by a power law with a floor, a logistic in log size, and a unimodal "
    "curve, which may fall; the form that best predicts each size from the others is drawn, the unimodal one "
    "where the {} falls significantly (last table). Bands are of unimodal fits to resampled trainings and "
    "problems, the same for all lines. Nothing is extrapolated: > and ≤ mark estimates beyond the sizes that "
    "were run."
)


def section(view: StudyView) -> Section | None:
    """For each figure with fitted curves: sizes needed, gains, equivalence; and the forms used."""
    fitted = [(data, data.fits) for data in view.panels(of_accuracy=True) if data.fits]
    if not fitted:
        return None
    charts = [
        draw(data, fits) for data, fits in fitted for draw in (needed_chart, gains_chart, equivalence_chart)
    ]
    word = view.word(*(data.figure.score for data, _ in fitted))
    present = tuple(chart for chart in charts if chart)
    return Section("efficiency", "Data efficiency", (TEXT.format(word),), present, forms(fitted, word))


def forms(fitted: list[tuple[FigureData, Fits]], word: str) -> Table:
    """The form used for each line, and the held-out error of each form."""
    rows = [
        [data.figure.title, line, curve.form, *(percent(curve.held_out[form], 2) for form in FORMS)]
        for data, fits in fitted
        for line, curve in fits.curves.items()
    ]
    note = f"Held-out error: RMSE of each size predicted from the others, in points of {word}."
    return Table(["figure", "line", "form", *(f"held-out error, {form}" for form in FORMS)], rows, 3, [note])
