"""Section with all scores of all cells and their standard errors, and pass@k over k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.measures import measure_means, measures
from limo_ablate.report.health.groups import groups
from limo_ablate.report.labels import axis, errors_over, percent, plus_minus
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView

CLEAN = "/clean"
"""Suffix of a benchmark's score on its clean items: those that match no problem of the pool."""
HEALTH = {
    "right_if_finished": "right if finished", "truncated": "truncated", "no_answer": "no answer",
    "undecided": "undecided",
}  # fmt: skip
FURTHER = {
    "decoding_sd": "decoding SD",
    "flips": "flips",
    "judged_accuracy": "with the judge",
    "judge_agreement": "judge agrees",
    "judge_unreadable": "judge unparsable",
    "probe_exact": "probe exact",
    "probe_rouge": "probe ROUGE-L",
}
"""Optional scores of metrics.json (docs/evaluation.md) -> heading."""
ROWS = 800
"""Maximum number of rows of the table: the first benchmarks that fit are shown."""
LINES, BENCHMARKS = 8, 4
"""Maximum number of lines of a chart, and of charts."""
HEIGHT, DODGE = 280, 0.03
"""Height in pixels; offset of neighbouring lines, as a share of a doubling of k."""
Place = tuple[tuple[Any, ...], str]
"""(levels of a cell, score)."""
NOTES = [
    "Per cent, ± 1 standard error over seeds and problems; with one seed, over problems only. clean: "
    "{0} on items that match no problem of the pool. Undecided answers count as wrong. decoding SD: "
    "standard deviation of one pass over the benchmark due to sampling. right if finished: {0} of the "
    "completions that ended by themselves, on the problems that each seed ended; descriptive, as a model "
    "chooses these problems itself. What avg@n gains while this stays is gained by ending.",
    "likelihood: log-likelihood of the problems' gold solutions. It also tells how much a model's format is "
    "theirs: not comparable between kinds of solutions, nor between tokenizers.",
]


def section(view: StudyView) -> Section | None:
    """Table of scores and charts of pass@k; None without finished trials."""
    if not view.done:
        return None
    values = measures(view.done, view.study.cluster)
    names = [score for score in view.scores if "/" not in score]
    several = values.filter(pl.col("measure") == "maj")["score"].unique(maintain_order=True).to_list()
    charts = [_pass_at_k(view, values, name) for name in names if name in several]
    return Section(
        "scores", "Scores", charts=tuple(charts[:BENCHMARKS]), table=score_table(view, values, names)
    )


def score_table(view: StudyView, values: pl.DataFrame, names: Sequence[str]) -> Table:
    """A row for each benchmark and cell. `values` is `measures.measures` of the finished trials."""
    numbers = _numbers(measure_means(view.table, values, view.keys), view.keys)
    cells = list(dict.fromkeys(cell for cell, _ in numbers))
    shown = list(names)[: max(1, ROWS // len(cells))]
    columns, further = _columns(numbers), _further(view)
    likelihood = ["likelihood (nats per token)"] if "likelihood" in values["measure"] else []
    optional = list(dict.fromkeys(key for row in further.values() for key in row))
    table = [
        [
            *view.levels(dict(zip(view.keys, cell, strict=True))),
            name,
            _layout(numbers[cell, name]["avg"], _samples(view, name)),
            *(_mean_text(numbers.get((cell, name + part), {}).get(measure)) for part, measure, _ in columns),
            f"{numbers[cell, name]['tokens']['mean']:,.0f}",
            *(_nats(numbers[cell, name].get("likelihood")) for _ in likelihood),
            *(percent(further[cell, name].get(key)) for key in optional),
        ]
        for name in shown
        for cell in cells
        if (cell, name) in numbers
    ]
    header = [
        *map(axis, view.keys),
        "benchmark",
        "problems × samples × seeds",
        *(title for _, _, title in columns),
    ]
    left = len(names) - len(shown)
    more = [f"{left} more benchmarks are in trials/*/metrics.json."] if left else []
    header += ["tokens", *likelihood, *(FURTHER[key] for key in optional)]
    return Table(header, table, len(view.keys) + 2, [*(note.format(view.word()) for note in NOTES), *more])


def _numbers(rows: pl.DataFrame, keys: Sequence[str]) -> dict[Place, dict[str, dict[str, Any]]]:
    """(cell, score) -> measure -> its row of `measures.measure_means`."""
    by_place: dict[Place, dict[str, dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        by_place.setdefault((tuple(row[key] for key in keys), row["score"]), {})[row["measure"]] = row
    return by_place


def _columns(numbers: Mapping[Place, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(suffix of the score, measure, heading): avg@n, avg@n on clean items, pass@k at a middle and at the
    largest k of each benchmark, maj@n, shares of truncated and other answers.
    """
    columns = [("", "avg", "avg@n")]
    if any(score.endswith(CLEAN) for _, score in numbers):
        columns.append((CLEAN, "avg", "clean"))
    shown_ks: set[int] = set()
    for (_, score), measures_ in numbers.items():
        ks = sorted(_k(name) for name in measures_ if name.startswith("pass@"))
        if ks and "/" not in score:
            shown_ks |= {ks[(len(ks) - 1) // 2], ks[-1]}
    columns += [("", f"pass@{k}", f"pass@{k}") for k in sorted(shown_ks)]
    if shown_ks:
        columns.append(("", "maj", "maj@n"))
    return [*columns, *(("", name, title) for name, title in HEALTH.items())]


def _k(measure: str) -> int:
    return int(measure.partition("@")[2])


def _mean_text(row: Mapping[str, Any] | None) -> str:
    return plus_minus(row["mean"], row["stderr"]) if row else "–"


def _nats(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    return f"{row['mean']:.3f}" + (f" ± {row['stderr']:.3f}" if row["stderr"] is not None else "")


def _layout(row: Mapping[str, Any], samples: str) -> str:
    return f"{row['problems']} × {samples} × {row['seeds']}"


def _samples(view: StudyView, name: str) -> str:
    counts = view.table.filter(pl.col("score") == name)["samples"].unique().sort().to_list()
    return " or ".join(map(str, counts))


def _further(view: StudyView) -> dict[Place, dict[str, float]]:
    """(cell, score) -> optional scores, means over its trials."""
    optional = [key for key in FURTHER if key in view.table.columns]
    means = view.table.group_by([*view.keys, "score"]).agg(pl.col(optional).mean())
    return {
        (tuple(row[key] for key in view.keys), row["score"]): {
            key: row[key] for key in optional if row[key] is not None
        }
        for row in means.iter_rows(named=True)
    }


def _pass_at_k(view: StudyView, values: pl.DataFrame, name: str) -> Chart:
    """pass@k over k, a line for each group of cells."""
    grouped = groups(view, LINES)
    group = {trial.name: group for group, trials in grouped.trials.items() for trial in trials}
    named = pl.col("trial").replace_strict(group, default=None).alias("group")
    own = values.filter((pl.col("score") == name) & pl.col("trial").is_in(list(group)))
    own = own.filter(pl.col("measure").str.contains("^(avg$|pass@)"))
    table = view.table.filter(pl.col("trial").is_in(list(group))).with_columns(named)
    k = pl.col("measure").str.strip_prefix("pass@").replace("avg", "1").cast(pl.Int64)
    rows = measure_means(table, own, ["group"]).with_columns(k=k).sort("k")
    return Chart(
        slug(f"pass at k on {name}"),
        f"pass@k on {name}",
        _pass_finding(rows),
        "Chance that one of k completions is right; bars: 95 % intervals "
        f"{errors_over(rows['seeds'])}. {grouped.note}",
        pass_chart(rows, list(grouped.trials)).to_dict(),
        _pass_table(rows),
    )


def pass_chart(rows: pl.DataFrame, names: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    """Lines over k on a logarithmic axis, offset a little so that error bars don't overlap."""
    ks = sorted(set(rows["k"]))
    side = {name: 2 ** ((place - (len(names) - 1) / 2) * DODGE) for place, name in enumerate(names)}
    shown = rows.select(
        "group", "k", "mean", low=pl.coalesce("low", "mean"), high=pl.coalesce("high", "mean"),
        place=pl.col("k") * pl.col("group").replace_strict(side, return_dtype=pl.Float64),
    )  # fmt: skip
    scale = alt.Scale(type="log", base=2, domain=[2**-0.25, ks[-1] * 2**0.25], nice=False)
    legend = alt.Legend(title=None, columns=2, labelLimit=160, symbolOpacity=1)
    base = alt.Chart(shown).encode(
        x=alt.X("place:Q", title="k (log scale)", scale=scale, axis=alt.Axis(values=ks, format="d")),
        color=alt.Color("group:N", scale=alt.Scale(domain=list(names)), legend=legend),
        tooltip=[
            "group:N",
            "k:Q",
            *(alt.Tooltip(f"{key}:Q", format=".1%") for key in ("mean", "low", "high")),
        ],
    )
    y = alt.Y(
        "mean:Q", title="pass@k", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%", tickCount=5)
    )
    layers: list[Any] = [
        base.mark_rule(opacity=0.5, strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            y=y, shape=alt.Shape("group:N", scale=alt.Scale(domain=list(names)), legend=legend)
        ),
    ]
    return alt.layer(*layers).properties(height=HEIGHT)


def _pass_finding(rows: pl.DataFrame) -> str:
    wide = rows.pivot("k", index="group", values="mean")
    first, last = wide.columns[1], wide.columns[-1]
    gain = wide.with_columns(gain=pl.col(last) - pl.col(first)).sort("gain").row(-1, named=True)
    points = f"{percent(gain[first])} to {percent(gain[last])} %"
    return f"From k = {first} to {last}, pass@k rises most for {gain['group']}: {points}."


def _pass_table(rows: pl.DataFrame) -> Table:
    ks = sorted(set(rows["k"]))
    by = {(row["group"], row["k"]): row for row in rows.iter_rows(named=True)}
    names = list(dict.fromkeys(rows["group"]))
    table = [[name, *(_mean_text(by.get((name, k))) for k in ks)] for name in names]
    return Table(["group", *(f"pass@{k}" for k in ks)], table, 1, ["Per cent, ± 1 standard error."])
