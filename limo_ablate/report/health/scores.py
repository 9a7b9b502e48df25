"""Every score of every cell with its error, and how pass@k grows with k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.measures import measure_means, measures
from limo_ablate.report.health.groups import groups
from limo_ablate.report.labels import axis, percent, plus_minus
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView

CLEAN = "/clean"
"""After a benchmark's name: its score on the items that no problem of the pool is flagged with."""
HEALTH = {"truncated": "truncated", "no_answer": "no answer", "undecided": "undecided"}
FURTHER = {
    "decoding_sd": "decoding SD",
    "flips": "flips",
    "judged_accuracy": "with the judge",
    "judge_agreement": "judge agrees",
    "judge_unreadable": "judge unreadable",
    "probe_exact": "probe exact",
    "probe_rouge": "probe ROUGE-L",
}
"""What metrics.json has besides, where it was asked for: docs/evaluation.md says what each is."""
ROWS = 800
"""Of the table; the first benchmarks that fit."""
LINES, BENCHMARKS = 8, 4
"""Lines of a picture, and pictures."""
HEIGHT, DODGE = 280, 0.03
"""Pixels; and the share of a doubling of k between neighbouring lines."""
Place = tuple[tuple[Any, ...], str]
"""(a cell's levels, score)."""
NOTES = [
    "Per cent, ± one standard error over seeds and problems together; with one seed over problems only. "
    "clean: the same mean on the items that no problem of the pool is flagged with. Undecided answers count "
    "as wrong. decoding SD: of one pass over the benchmark, by sampling alone.",
]


def section(view: StudyView) -> Section | None:
    """None without results."""
    if not view.done:
        return None
    found = measures(view.done, view.study.cluster)
    names = [score for score in view.scores if "/" not in score]
    several = found.filter(pl.col("measure") == "maj")["score"].unique(maintain_order=True).to_list()
    drawn = [_pass_at_k(view, found, name) for name in names if name in several]
    return Section(
        "scores", "Scores", charts=tuple(drawn[:BENCHMARKS]), table=score_table(view, found, names)
    )


def score_table(view: StudyView, found: pl.DataFrame, names: Sequence[str]) -> Table:
    """A row for each benchmark and cell. `found` is `effects.measures` of the finished trials."""
    numbers = _numbers(measure_means(view.table, found, view.keys), view.keys)
    cells = list(dict.fromkeys(cell for cell, _ in numbers))
    shown = list(names)[: max(1, ROWS // len(cells))]
    columns, further = _columns(numbers), _further(view)
    asked = list(dict.fromkeys(key for row in further.values() for key in row))
    table = [
        [
            *view.levels(dict(zip(view.keys, cell, strict=True))),
            name,
            _layout(numbers[cell, name]["avg"], _samples(view, name)),
            *(_told(numbers.get((cell, name + part), {}).get(measure)) for part, measure, _ in columns),
            f"{numbers[cell, name]['tokens']['mean']:,.0f}",
            *(percent(further[cell, name].get(key)) for key in asked),
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
    more = [f"{left} more benchmarks: trials/*/metrics.json."] if left else []
    header += ["tokens", *(FURTHER[key] for key in asked)]
    return Table(header, table, len(view.keys) + 2, [*NOTES, *more])


def _numbers(rows: pl.DataFrame, keys: Sequence[str]) -> dict[Place, dict[str, dict[str, Any]]]:
    """(cell, score) -> measure -> its row of `effects.measured`."""
    found: dict[Place, dict[str, dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault((tuple(row[key] for key in keys), row["score"]), {})[row["measure"]] = row
    return found


def _columns(numbers: Mapping[Place, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(what follows the benchmark's name, measure, heading): avg@n, the same of clean items, pass@k at a
    middle and at the largest k of each benchmark, maj@n, health.
    """
    found = [("", "avg", "avg@n")]
    if any(score.endswith(CLEAN) for _, score in numbers):
        found.append((CLEAN, "avg", "clean"))
    wanted: set[int] = set()
    for (_, score), measures_ in numbers.items():
        ks = sorted(_k(name) for name in measures_ if name.startswith("pass@"))
        if ks and "/" not in score:
            wanted |= {ks[(len(ks) - 1) // 2], ks[-1]}
    found += [("", f"pass@{k}", f"pass@{k}") for k in sorted(wanted)]
    if wanted:
        found.append(("", "maj", "maj@n"))
    return [*found, *(("", name, title) for name, title in HEALTH.items())]


def _k(measure: str) -> int:
    return int(measure.partition("@")[2])


def _told(row: Mapping[str, Any] | None) -> str:
    return plus_minus(row["mean"], row["stderr"]) if row else "–"


def _layout(row: Mapping[str, Any], samples: str) -> str:
    return f"{row['problems']} × {samples} × {row['seeds']}"


def _samples(view: StudyView, name: str) -> str:
    counts = view.table.filter(pl.col("score") == name)["samples"].unique().sort().to_list()
    return " or ".join(map(str, counts))


def _further(view: StudyView) -> dict[Place, dict[str, float]]:
    """(cell, score) -> what else its trials have, the mean over them."""
    asked = [key for key in FURTHER if key in view.table.columns]
    means = view.table.group_by([*view.keys, "score"]).agg(pl.col(asked).mean())
    return {
        (tuple(row[key] for key in view.keys), row["score"]): {
            key: row[key] for key in asked if row[key] is not None
        }
        for row in means.iter_rows(named=True)
    }


def _pass_at_k(view: StudyView, found: pl.DataFrame, name: str) -> Chart:
    """pass@k by k, a line for each group of cells."""
    grouped = groups(view, LINES)
    group = {trial.name: group for group, trials in grouped.trials.items() for trial in trials}
    named = pl.col("trial").replace_strict(group, default=None).alias("group")
    own = found.filter((pl.col("score") == name) & pl.col("trial").is_in(list(group)))
    own = own.filter(pl.col("measure").str.contains("^(avg$|pass@)"))
    table = view.table.filter(pl.col("trial").is_in(list(group))).with_columns(named)
    k = pl.col("measure").str.strip_prefix("pass@").replace("avg", "1").cast(pl.Int64)
    rows = measure_means(table, own, ["group"]).with_columns(k=k).sort("k")
    return Chart(
        slug(f"pass at k on {name}"),
        f"pass@k on {name}",
        _pass_finding(rows),
        "Chance that one of k completions is right; bars: 95 % intervals over seeds and problems. "
        f"{grouped.note}",
        pass_chart(rows, list(grouped.trials)).to_dict(),
        _pass_table(rows),
    )


def pass_chart(rows: pl.DataFrame, names: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    """Lines over k on a logarithmic axis, moved a little apart so that their bars don't hide each other."""
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
    return f"From k = {first} to {last} it rises most for {gain['group']}: {points}."


def _pass_table(rows: pl.DataFrame) -> Table:
    ks = sorted(set(rows["k"]))
    by = {(row["group"], row["k"]): row for row in rows.iter_rows(named=True)}
    names = list(dict.fromkeys(rows["group"]))
    table = [[name, *(_told(by.get((name, k))) for k in ks)] for name in names]
    return Table(["group", *(f"pass@{k}" for k in ks)], table, 1, ["Per cent, ± one standard error."])
