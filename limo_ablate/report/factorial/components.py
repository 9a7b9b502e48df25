"""Section on variance components: where the error of a cell's mean comes from, and what would reduce it."""

from __future__ import annotations

from collections.abc import Iterable

import altair as alt
import polars as pl

from limo_ablate.analysis.trials import resolved
from limo_ablate.analysis.variance_components import components
from limo_ablate.core.errors import UserError
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.block import Block

NAMES = {
    "problem": "problems", "subset": "subsets", "base": "pre-trainings", "seed": "seeds",
    "training": "trainings", "rest": "problems × trainings", "sample": "samples",
}  # fmt: skip
"""Component -> its label, in the order of the bars."""
REDUCES = {
    "problems": ("problem", "rest", "sample"),
    "subsets": ("subset", "training", "rest", "sample"),
    "pre-trainings": ("base", "training", "rest", "sample"),
    "seeds": ("seed", "training", "rest", "sample"),
    "samples": ("sample",),
}
"""What can be increased -> the components that this reduces."""
REPLICATES = {"subsets": "subset", "pre-trainings": "base", "seeds": "training"}
"""Replicates -> their component, which is unknown in a block with only one of them."""
ROW, LEAST = 34, 70
"""Height in pixels of a bar, and at least of the plot."""
TEXT = (
    "A cell's mean varies with the problems, the trainings and the samples. More problems or samples cost "
    "only evaluation, more seeds cost training. Contrasts compare cells on the same problems, so the "
    "variance that cells share over problems cancels: there, seeds matter more than shown here."
)


def section(view: StudyView) -> Section | None:
    """Variance components of each block for the score of its first figure; None without finished trials."""
    if not view.done:
        return None
    components_of = {
        block.name: rows for block in view.study.blocks if (rows := _components(view, block)) is not None
    }
    if not components_of:
        return None
    chart = Chart(
        "components",
        "Variance components",
        "Reduction of a cell's standard error with twice as many. "
        + " ".join(f"{name}: {error_reductions(rows)}." for name, rows in components_of.items()),
        "Shares of the variance of a cell's mean, averaged over the block's cells.",
        _chart(components_of).to_dict(),
        _table(components_of, view.word()),
    )
    return Section("components", "Variance components", (TEXT,), (chart,))


def _components(view: StudyView, block: Block) -> pl.DataFrame | None:
    score = view.score_of(block)
    try:
        fractional = view.word(score) == "score" and not view.table["samples"].eq(1).any()
        variances = view.cube(block, score, "variance") if fractional else None
        rows = components(view.cube(block, score), variances)
    except UserError:  # no finished trial yet: the figures say so
        return None
    if not rows.is_empty() and _greedy(view, block, score):
        rows = _without_samples(rows)
    return rows if not rows.is_empty() and (rows["of_mean"].sum() or 0) > 0 else None


def _greedy(view: StudyView, block: Block, score: str) -> bool:
    """Whether decoding is greedy, so that all samples of a problem are equal."""
    benchmarks = (
        resolved(trial.folder)["eval"]["benchmarks"] for trial in view.counted if block.name in trial.blocks
    )
    name = score.partition("/")[0]
    return all(of[name]["temperature"] == 0 for of in benchmarks if name in of)


def _without_samples(rows: pl.DataFrame) -> pl.DataFrame:
    """With greedy decoding, moves the variance of samples to the problem or, with several trainings, to
    `rest`."""
    alone = rows.filter(component="problem")["variance"].null_count() == 1
    target = "problem" if alone else "rest"
    kept = rows.filter(~pl.col("component").is_in(["sample", target]))
    moved = rows.filter(component="sample").with_columns(component=pl.lit(target))
    return pl.concat([kept, moved])


def error_reductions(rows: pl.DataFrame) -> str:
    """`problems 16 %, seeds 12 %, samples 4 %`: reductions of the standard error of a mean with twice as
    many."""
    part = {
        name: value for name, value in rows.select("component", "of_mean").iter_rows() if value is not None
    }
    total = sum(part.values())
    less = {
        what: 1 - (1 - sum(part.get(name, 0.0) for name in names) / total / 2) ** 0.5
        for what, names in REDUCES.items()
        if what != "samples" or "sample" in part
    }
    unknown = [what for what, name in REPLICATES.items() if name not in part]
    for what in unknown:
        del less[what]
    bound = {} if "rest" in part else {"samples": "at most "}
    order = sorted(less, key=lambda what: -less[what])
    reductions = ", ".join(f"{what} {bound.get(what, '')}{percent(less[what], 0)} %" for what in order)
    return (
        reductions
        if len(unknown) < len(REPLICATES)
        else f"{reductions}; with one seed the variance between trainings is unknown: run a second seed first"
    )


def _shares(components_of: dict[str, pl.DataFrame]) -> Iterable[dict[str, object]]:
    for block, rows in components_of.items():
        total = rows["of_mean"].sum()
        for name, value in rows.select("component", "of_mean").iter_rows():
            if value:
                yield {"block": block, "part": NAMES.get(name, name), "share": value / total}


def _chart(components_of: dict[str, pl.DataFrame]) -> alt.Chart:
    rows = pl.DataFrame(list(_shares(components_of)))
    present = [name for name in NAMES.values() if name in set(rows["part"])]
    order = pl.col("part").replace_strict({name: place for place, name in enumerate(present)}, default=99)
    chart: alt.Chart = (
        alt.Chart(rows.with_columns(order=order))
        .mark_bar()
        .encode(
            x=alt.X(
                "share:Q",
                title="share of the variance of a cell's mean",
                axis=alt.Axis(format=".0%", grid=False),
            ),
            y=alt.Y("block:N", sort=list(components_of), title=None, axis=alt.Axis(labelLimit=140)),
            color=alt.Color(
                "part:N", scale=alt.Scale(domain=present), legend=alt.Legend(title=None, columns=2)
            ),
            order="order:Q",
            tooltip=[alt.Tooltip("block:N"), alt.Tooltip("part:N"), alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=max(LEAST, ROW * len(components_of)))
    )
    return chart


def _table(components_of: dict[str, pl.DataFrame], word: str) -> Table:
    rows = [
        [
            block,
            NAMES.get(name, name),
            percent(sd),
            percent(share),
            percent((of_mean or 0) ** 0.5 if of_mean is not None else None, 2),
        ]
        for block, parts in components_of.items()
        for name, sd, share, of_mean in parts.select("component", "sd", "share", "of_mean").iter_rows()
    ]
    notes = [
        f"sd: standard deviation of one completion's {word}, in points; sd in a mean: the part left in a "
        "cell's mean. A dash: not identified with one seed, or with one sample of each problem (it is then "
        "part of samples or, with greedy decoding, of problems × trainings)."
    ]
    header = ["block", "component", "sd", "share of one completion", "sd in a mean"]
    return Table(header, rows, 2, notes)
