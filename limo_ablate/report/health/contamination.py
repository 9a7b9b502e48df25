"""Section on contamination: pairs flagged by the gate, with evidence; scores on all and on clean items."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from limo_ablate.data.select.contamination import gate_notes
from limo_ablate.report.health.groups import Groups, groups
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView, artifact

POLICY = "select.contamination.policy"
CLEAN = "/clean"
"""Suffix of a benchmark's score on its clean items: those that match no problem of the pool."""
GATE = {
    "none": "was off: pool and benchmarks were not compared",
    "report": "only reported flagged problems, which stayed in the pool",
    "drop": "left flagged problems out of the pool",
    "error": "was set to stop at any flagged problem",
}
"""Policy -> description of what the gate did."""
GROUPS = 24
"""Maximum number of rows of a chart; with more cells, cells are grouped."""
PAIRS = 24
"""Number of pairs shown with their evidence."""
EVIDENCE = 110
"""Maximum number of characters of the evidence."""
ROW, BENCHMARKS = 24, 4
"""Height of a row in pixels; maximum number of benchmarks whose clean scores are drawn."""


def section(view: StudyView) -> Section | None:
    """What the gate did and found; None without finished trials."""
    if not view.done:
        return None
    policies = list(dict.fromkeys(str(trial.level(POLICY)) for trial in view.done))
    text = [_gate_text(policies)]
    if policies == ["none"]:
        return Section("contamination", "Contamination", tuple(text))
    pairs = flagged_pairs(view)
    charts = _clean(view)
    if pairs is None:
        text.append("The gate's artifacts are not in the store, so its pairs can't be shown.")
    elif pairs.is_empty():
        text += ["It flagged nothing.", *_not_compared(view)]
    else:
        charts.insert(0, _flagged_chart(view, pairs))
        text += _not_compared(view)
    table = evidence(pairs) if pairs is not None and not pairs.is_empty() else None
    return Section("contamination", "Contamination", tuple(text), tuple(charts), table)


def _gate_text(policies: list[str]) -> str:
    if len(policies) == 1:
        return f"The contamination gate {GATE[policies[0]]} ({POLICY}={policies[0]})."
    did = "; ".join(f"under {policy} it {GATE[policy]}" for policy in policies)
    return f"The contamination gate was varied ({POLICY}): {did}."


def _not_compared(view: StudyView) -> list[str]:
    """What the gate did not compare, or does not list."""
    folders = [path for trial in view.done if (path := artifact(view, trial, "flags"))]
    notes = dict.fromkeys(note for folder in dict.fromkeys(folders) for note in gate_notes(folder))
    return [f"{note[0].upper()}{note[1:]}." for note in notes]


def flagged_pairs(view: StudyView) -> pl.DataFrame | None:
    """All flagged pairs of the study, as in flags.parquet; None if no artifact of the gate is in the
    store."""
    paths = {artifact(view, trial, "flags"): None for trial in view.done}
    parts = [pl.read_parquet(path / "flags.parquet") for path in paths if path]
    return pl.concat(parts).unique(maintain_order=True) if parts else None


def methods(pairs: pl.DataFrame) -> pl.DataFrame:
    """Adds the column `by`: `same words`, `whole item`, `20 words`, `20 words, numbers masked`, `MinHash`."""
    kinds = {"ngram": "{} words", "masked": "{} words, numbers masked"}
    by = pl.col("method").replace({"minhash": "MinHash", "exact": "same words", "whole": "whole item"})
    for method, name in kinds.items():
        by = pl.when(pl.col("method") == method).then(pl.format(name, "n")).otherwise(by)
    return pairs.with_columns(by=by)


def counts(pairs: pl.DataFrame) -> pl.DataFrame:
    """benchmark, by, items, problems, pairs: counts for each method, and for `any method` if there are
    several."""
    named = methods(pairs)
    every = named.with_columns(by=pl.lit("any method"))
    both = pl.concat([named, every]) if named["by"].n_unique() > 1 else named
    return both.group_by("benchmark", "by", maintain_order=True).agg(
        items=pl.col("item").n_unique(), problems=pl.col("problem").n_unique(), pairs=pl.len()
    )


def _flagged_chart(view: StudyView, pairs: pl.DataFrame) -> Chart:
    rows = counts(pairs)
    sizes = {
        name: score["problems"] for t in view.done for name, score in (t.metrics or {})["scores"].items()
    }
    table = [
        [
            row["benchmark"], row["by"], f"{row['items']:,}", _share(row, sizes), f"{row['problems']:,}",
            f"{row['pairs']:,}",
        ]
        for row in rows.sort("benchmark", maintain_order=True).iter_rows(named=True)
    ]  # fmt: skip
    header = ["benchmark", "by", "items flagged", "of its items (%)", "pool problems flagged", "pairs"]
    each = pairs.group_by("benchmark", maintain_order=True).agg(pl.col("item").n_unique())
    items = ", ".join(f"{count:,} of {name}" for name, count in each.sort("item", descending=True).rows()[:5])
    return Chart(
        "flagged",
        "Benchmark items that match the pool",
        f"Flagged problems of the pool: {pairs['problem'].n_unique():,}. Benchmark items: {items}.",
        "Benchmark items that match at least one problem of the pool, by method.",
        found_chart(rows).to_dict(),
        Table(header, table, 2),
    )


def _share(row: dict[str, Any], sizes: dict[str, int]) -> str:
    size = sizes.get(row["benchmark"])
    return percent(row["items"] / size) if size else "–"


def found_chart(rows: pl.DataFrame) -> alt.Chart:
    """Number of flagged items for each benchmark and method."""
    names = list(dict.fromkeys(rows["by"]))
    ticks = alt.Axis(grid=True, tickCount=5, tickMinStep=1, format="~s")
    chart = alt.Chart(rows).mark_bar().encode(
        x=alt.X("items:Q", title="items flagged", axis=ticks),
        y=alt.Y("benchmark:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)),
        yOffset=alt.YOffset("by:N", sort=names),
        color=alt.Color("by:N", scale=alt.Scale(domain=names), legend=alt.Legend(title=None, columns=2)),
        tooltip=["benchmark:N", "by:N", "items:Q", "problems:Q", "pairs:Q"],
    )  # fmt: skip
    height = rows["benchmark"].n_unique() * max(ROW, 12 * len(names)) + 10
    chart_: alt.Chart = chart.properties(height=max(2 * ROW, height))
    return chart_


def evidence(pairs: pl.DataFrame) -> Table:
    """Flagged pairs with the text they share, alternating over benchmarks and methods."""
    turns = methods(pairs).with_columns(turn=pl.int_range(pl.len()).over("benchmark", "by"))
    shown = turns.sort("turn", maintain_order=True).head(PAIRS)
    rows = [
        [row["problem"], row["benchmark"], row["item"], row["by"], _short(row["evidence"]), _similarity(row)]
        for row in shown.iter_rows(named=True)
    ]
    header = ["pool problem", "benchmark", "item", "by", "shared text", "similarity"]
    note = f"{len(rows)} of {pairs.height:,} pairs, from all benchmarks and methods; # is a masked number."
    return Table(header, rows, 5, [note])


def _short(text: str) -> str:
    return text if len(text) <= EVIDENCE else f"{text[:EVIDENCE]} …"


def _similarity(row: dict[str, Any]) -> str:
    return "–" if row["similarity"] is None else f"{row['similarity']:.2f}"


def _clean(view: StudyView) -> list[Chart]:
    """A chart for each benchmark that was also scored on its clean items."""
    grouping = groups(view, GROUPS)
    names = [name for name in view.scores if name + CLEAN in view.scores][:BENCHMARKS]
    each = {name: clean_scores(view, grouping, name) for name in names}
    return [_side_by_side(view, name, rows, grouping) for name, rows in each.items() if rows.height]


def clean_scores(view: StudyView, grouping: Groups, name: str) -> pl.DataFrame:
    """group, all, clean, trials: mean accuracies over the trials that have both scores."""
    group = {trial.name: group for group, trials in grouping.trials.items() for trial in trials}
    both = view.table.filter(pl.col("score").is_in([name, name + CLEAN]) & pl.col("trial").is_in(list(group)))
    wide = both.pivot("score", index="trial", values="accuracy", maintain_order=True).drop_nulls()
    named = wide.select(pl.col("trial").replace_strict(group).alias("group"), all=name, clean=name + CLEAN)
    return named.group_by("group", maintain_order=True).agg(pl.col("all", "clean").mean(), trials=pl.len())


def _side_by_side(view: StudyView, name: str, rows: pl.DataFrame, grouping: Groups) -> Chart:
    scores = [(t.metrics or {})["scores"] for t in view.done]
    sizes = {own[name + CLEAN]["problems"] for own in scores if name + CLEAN in own}
    whole = max(own[name]["problems"] for own in scores if name in own)
    shift = (rows["clean"] - rows["all"]).to_list()
    mean, widest = sum(shift) / len(shift), max(shift, key=abs)
    items, word = " or ".join(map(str, sorted(sizes))), view.word(name)
    return Chart(
        slug(f"clean items of {name}"),
        f"{word.capitalize()} on {name}: all items and clean items",
        f"On the {items} clean of {whole} items, {word} differs by {100 * mean:+.1f} points "
        f"on average, at most by {100 * widest:+.1f} ({rows['group'][shift.index(widest)]}).",
        f"Means over trials. {grouping.note}",
        clean_chart(rows, word).to_dict(),
        Table(
            ["group", "trials", "all items (%)", "clean items (%)", "difference (points)"],
            [
                [group, str(trials), percent(all_), percent(clean), f"{100 * (clean - all_):+.1f}"]
                for group, all_, clean, trials in rows.iter_rows()
            ],
            1,
        ),
    )


def clean_chart(rows: pl.DataFrame, word: str) -> alt.LayerChart | alt.FacetChart:
    """Two points in each row, connected by a line."""
    y = alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=140))
    x = alt.X(
        "all:Q",
        title=word,
        axis=alt.Axis(format="~%", grid=True, tickCount=5),
        scale=alt.Scale(zero=True),
    )
    kinds = ["all items", "clean items"]
    points = rows.unpivot(["all", "clean"], index="group", variable_name="kind", value_name="accuracy")
    points = points.with_columns(pl.col("kind") + " items")
    scale = alt.Scale(domain=kinds)
    dots = alt.Chart(points).mark_point(filled=True, size=60, opacity=1).encode(
        x="accuracy:Q", y=y, color=alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None)),
        shape=alt.Shape("kind:N", scale=scale),
        tooltip=["group:N", "kind:N", alt.Tooltip("accuracy:Q", title=word, format=".1%")],
    )  # fmt: skip
    joined = alt.Chart(rows).mark_rule(strokeWidth=2).encode(x=x, x2="clean:Q", y=y)
    return alt.layer(joined, dots).properties(height=ROW * max(2, rows.height))
