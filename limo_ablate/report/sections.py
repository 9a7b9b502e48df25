"""Registry of the report's sections, in the page's order; other packages may add sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from limo_ablate.core.registry import Entry, Registry
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.section import Section, failed_section
from limo_ablate.report.study_view import StudyView

SECTIONS: Registry[Callable[[StudyView], Section | None]] = Registry(
    "report section",
    {
        "scores": Entry("limo_ablate.report.health.scores:section", "scores of the cells"),
        "efficiency": Entry("limo_ablate.report.efficiency.curves:section", "accuracy against training size"),
        "heatmap": Entry("limo_ablate.report.factorial.heatmap:section", "cells as a heat map"),
        "factors": Entry("limo_ablate.report.factorial.factors:section", "main effects and interactions"),
        "trajectory": Entry(
            "limo_ablate.report.efficiency.trajectory:section", "accuracy on the way of the trainings"
        ),
        "pareto": Entry("limo_ablate.report.efficiency.pareto:section", "accuracy against cost"),
        "matrix": Entry("limo_ablate.report.health.matrix:section", "cells against problems"),
        "components": Entry("limo_ablate.report.factorial.components:section", "variance components"),
        "lengths": Entry("limo_ablate.report.health.lengths:section", "lengths of completions"),
        "training": Entry("limo_ablate.report.health.training:section", "training curves"),
        "timeline": Entry("limo_ablate.report.health.timeline:section", "when each trial ran"),
        "funnel": Entry(
            "limo_ablate.report.health.funnel:section", "how many problems each step of the selection left"
        ),
        "contamination": Entry(
            "limo_ablate.report.health.contamination:section", "pool problems that match benchmark items"
        ),
        "failures": Entry("limo_ablate.report.health.failures:section", "trials without a result"),
        "literature": Entry("limo_ablate.report.declared.literature:section", "published results"),
        "methods": Entry("limo_ablate.report.methods.methods:section", "how the study was made"),
    },
    group="limo_ablate.report_sections",
)
"""In the page's order, after the contrasts and the declared figures.

An entry of `limo_ablate.report_sections` is a function from the study to its section, or None if the section
does not apply to the study. Sections of other packages come before the methods. They contain text, tables and
Vega-Lite charts, all of which are escaped.
"""
LAST = "methods"
OF_VERDICTS = ("efficiency", "heatmap", "factors", "matrix")
"""Sections that need verdicts alone: those of imported studies."""


def sections(view: StudyView, errors: PartErrors) -> Iterator[Section]:
    """The sections that apply to the study. One that fails is shown with its error."""
    names = OF_VERDICTS if view.imported else sorted(SECTIONS, key=lambda name: name == LAST)
    for name in names:
        package = SECTIONS.entry(name).package
        title = f"{name} of {package}" if package else name.capitalize()
        section = errors.isolate(title, partial(_draw, name, view), partial(failed_section, name, title))
        if section:
            yield section


def _draw(name: str, view: StudyView) -> Section | None:
    section = SECTIONS.load(name)(view)
    if not isinstance(section, Section | None):
        raise TypeError(f"{SECTIONS.entry(name).target} returned {type(section).__name__}, not a Section")
    return section
