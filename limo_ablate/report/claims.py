"""The study's contrasts: a forest plot, a table, a sentence for each; and the study's registration.

p-values are adjusted over the registered primary contrasts, including those dropped since; primary contrasts
that were not registered are a family of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.looks import Look, contrasts_at_looks, last_look
from limo_ablate.analysis.register.claim_status import NOT_REGISTERED, ClaimStatus, claim_statuses
from limo_ablate.analysis.register.current_trials import current_trials
from limo_ablate.analysis.register.deviations import deviations
from limo_ablate.analysis.register.registration import Chain, read
from limo_ablate.core.text import counted
from limo_ablate.report.labels import POINTS, amount, errors_over, percent
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.stop import planned

ROW = 44
"""Height in pixels for each contrast."""
HEADER = [
    "contrast", "compared", "score", "claim", "conclusion", "averaged over", "effect", "95 % interval", "p",
    "adjusted p", "p equivalence", "adjusted p equivalence", "by finishing", "by being right", "bootstrap",
    "p by sign flips", "p McNemar",
    "problems × samples × seeds",
]  # fmt: skip
WORDS = 6
KINDS = ["confirmatory", "exploratory"]
NOTES = [
    "Effect: {0} at the second level minus {0} at the first, in points (likelihood of the gold solutions: in "
    "nats per token), paired on problems and "
    "seeds, other factors equal; arms whose seeds differ are averaged over their own (unpaired). "
    "Untuned models are left out unless the contrast names them. Intervals and p-values are over seeds and "
    "problems (random effects), with one seed over problems only; adjusted p-values by Holm over the primary "
    "contrasts. p equivalence: "
    "equivalence test against the margin. No information: both arms solved nothing, or everything (of a "
    "likelihood: it differs by the same on all problems).",
    "A line: the change of a least-squares line over the logarithm of the factor, through all levels between "
    "the two. At one level against another: how much larger the effect is there (a difference of "
    "differences). A mean of several scores counts each the same.",
    "By finishing, by being right: the effect as {0} = share of completions that end × {0} of "
    "these; what is left comes from completions that were cut off. Descriptive: which completions "
    "end is a selection of its own.",
    "Bootstrap: resampled seeds and problems; too narrow for few seeds. Sign flips and McNemar are over "
    "problems only, with the trainings fixed.",
]


LOOKS_NOTE = (
    "A sequential study: after each look seeds are added only for contrasts that are undecided. p decides "
    "below the levels at which alpha is spent over the looks, divided by the number of primary contrasts; "
    "intervals of primary contrasts have 1 − that level, adjusted p-values are p × 0.05 / level, so they "
    "account for the looks. Secondary contrasts and all other tables don't. Of problems: share of the "
    "error's variance that more seeds do not make smaller, in per cent."
)


@dataclass(frozen=True, slots=True)
class Claims:
    rows: pl.DataFrame
    """Rows of `contrasts.contrasts` with kind (of KINDS), why (it is exploratory) and dropped."""
    findings: list[tuple[str, str]]
    """(contrast, its result in words, and what was compared)."""
    section: Section
    """Forest plot (if there are results) and table; the registration, or how to make one."""
    deviations: list[str]
    """Deviations from the registration."""
    warning: str | None
    """Why the registration can't be trusted; None if it can."""


def claims(view: StudyView) -> Claims | None:
    """The study's contrasts; None if it declares none or has no finished trial."""
    chain = read(view.folder)
    if not (view.study.contrasts or (chain and chain.last.contrasts)) or not view.done:
        return None
    trials = current_trials(view.folder, view.trials)
    rows = _rows(view, claim_statuses(view.study, chain, trials, view.looks))
    return Claims(
        rows,
        [
            (_name(row), f"{finding(row)}{_compared(row)}{_at_look(view, row)}")
            for row in rows.iter_rows(named=True)
        ],
        Section(
            "claims",
            "Contrasts",
            text=(_registered(chain, bool(view.imported)),),
            charts=_charts(rows, view),
            table=_looks(view),
        ),
        deviations(view.study, chain, trials, view.looks) if chain else [],
        chain.broken if chain else None,
    )


def _charts(rows: pl.DataFrame, view: StudyView) -> tuple[Chart, ...]:
    """A forest plot of each unit, with its table; the first one also where there is no result."""
    found, word, intervals = [], view.word(), "95 % confidence intervals"
    if view.study.stop:
        intervals = "Confidence intervals that account for the looks of primary contrasts (95 % of others)"
    for unit, own in rows.group_by("unit", maintain_order=True):
        results, name = own.filter(pl.col("effect").is_not_null()), str(unit[0])
        notes = [note.format(word) for note in NOTES]
        table = Table(header(view), [_row(row) for row in own.iter_rows(named=True)], WORDS, notes)
        more = "" if name == "share" else f" on likelihood ({name})"
        title, spec = f"Contrasts{more}", None if results.is_empty() else forest(results).to_dict()
        note = (
            f"{intervals}, {errors_over(own['seeds'])}; right of 0 the level before “against” scores higher."
        )
        found.append(Chart(slug(title), title, "", note, spec, table))
    return tuple(found)


def header(view: StudyView, names: Sequence[str] = HEADER) -> list[str]:
    """Names of columns; intervals of a sequential study have another level than 95 %."""
    return [name.removeprefix("95 % ") if view.study.stop else name for name in names]


def _rows(view: StudyView, statuses: Sequence[ClaimStatus]) -> pl.DataFrame:
    """The rows of all contrasts, in order; registered ones and others are two families."""
    axes = {block.name: list(block.factors()) for block in view.study.blocks}
    axes |= {
        status.contrast.block: [status.contrast.factor]
        for status in statuses
        if status.contrast.block not in axes
    }
    parts = [
        _contrasts(view, [status.contrast for status in family], axes).with_columns(
            place=pl.Series([statuses.index(status) for status in family], dtype=pl.Int64),
            kind=pl.Series([status.kind for status in family], dtype=pl.String),
            why=pl.Series([status.why for status in family], dtype=pl.String),
            dropped=pl.Series([status.dropped for status in family], dtype=pl.Boolean),
        )
        for family in (
            [status for status in statuses if status.family],
            [status for status in statuses if not status.family],
        )
    ]
    return pl.concat(parts).sort("place").drop("place")


def _contrasts(
    view: StudyView, declared: Sequence[Contrast], axes: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    if view.study.stop is None:
        return contrasts(declared, axes, view.counted, view.answers)
    return contrasts_at_looks(view.study, declared, axes, view.counted, view.answers, view.looks)


def _looks(view: StudyView) -> Table | None:
    """The looks of a sequential study; None of others, and before the first."""
    units = {contrast.name: contrast.unit for contrast in view.study.contrasts}
    seen: list[tuple[int, Look, dict[str, Any]]] = [
        (number, look, {**row, "unit": units.get(row["contrast"], "share")})
        for number, look in enumerate(view.looks, start=1)
        for row in look["contrasts"]
    ]
    rows = [
        [
            row["contrast"], str(number), str(look["seeds"]), look["time"].partition("T")[0],
            row["decision"], effect(row), interval(row, "low", "high"), _p(row["p"]), f"{row['level']:.4f}",
            _p(row["p_equivalent"]), f"{row['equivalence_level']:.4f}", percent(row["item_share"], 0),
        ]
        for number, look, row in seen
    ]  # fmt: skip
    columns = [
        "contrast", "look", "seeds", "when", "decision", "effect", "interval", "p", "below", "p equivalence",
        "below", "of problems",
    ]  # fmt: skip
    return Table(columns, rows, 5, [LOOKS_NOTE]) if rows else None


def _registered(chain: Chain | None, imported: bool) -> str:
    if imported:
        return "Imported from logs that were there before, so all contrasts are exploratory."
    if chain is None:
        return (
            "Not registered, so all contrasts are exploratory. Register a study before its first trial runs: "
            "limo-ablate freeze NAME."
        )
    last = chain.last
    count = counted(len(last.primary), "primary contrast")
    time = last.time.replace("T", " ").replace("+00:00", " UTC")
    code = f", commit {last.git['commit'][:12]}" if last.git["commit"] else ""
    changed = " with uncommitted changes" if last.git["dirty"] else ""
    return (
        f"Registered {time}, hash {last.hash[:12]}{code}{changed}: {counted(len(last.cells), 'trial')}, "
        f"{count}, alpha {last.alpha:g}. A contrast is confirmatory if it was registered as primary before a "
        "trial of its block had finished, and neither it nor its trials have changed since."
    )


def finding(row: dict[str, Any]) -> str:
    """`+12.3 points [8.1, 16.5]: different (confirmatory)`; without a result, the reason."""
    if row["effect"] is None:
        return f"no result: {row['note']}"
    unit = " points" if row["unit"] == "share" else ""
    found = f"{effect(row)}{unit} {interval(row, 'low', 'high')}: {row['conclusion']}"
    return found if row["why"] == NOT_REGISTERED else f"{found} ({_claim(row)})"


def _compared(row: dict[str, Any]) -> str:
    """`. Compared: select.quality L4 against L1 on mini, averaged over select.size=4, 64`, and on how many
    problems, where not all were answered by every trial that it compares."""
    if row["effect"] is None:
        return ""
    over = f", averaged over {row['over']}" if row["over"] else ""
    some = row["problems"] < row["answered"]
    on = f", on {problem_count(row)} problems (the others lack a result in some trials)" if some else ""
    return f". Compared: {row['comparison']} on {row['score']}{over}{on}{_margin(row)}"


def _margin(row: dict[str, Any]) -> str:
    """`; equivalent means within 10 points`, where that is tested."""
    if row["margin"] is None:
        return ""
    share = row["unit"] == "share"
    within = f"{100 * row['margin']:g} points" if share else f"{row['margin']:g} {row['unit']}"
    return f"; equivalent means within {within}"


STOPPED = {
    "different": "stopped for a difference",
    "equivalent": "stopped for equivalence",
    "futile": "stopped as futile (less than a 5 % chance that the last look would show anything)",
    "no result": "ended, as there was no result",
    "last look": "the last one",
    "undecided": "more seeds are to come",
}
"""Decision of a look -> what the report says of it."""


def _at_look(view: StudyView, row: dict[str, Any]) -> str:
    """`. Look 2 of 4, after 5 of at most 10 seeds: stopped for a difference`, of a primary contrast of a
    sequential study: with the level of the look, and what its trials show now if it is not what decided."""
    stop, own = view.study.stop, last_look(row["contrast"], view.looks)
    if stop is None or not row["primary"] or own is None:
        return ""
    number, seen = own
    level = f"p < {seen['level']:.2g} shows a difference here, its share of alpha"
    at = f"Look {number + 1} of {len(planned(stop))}, after {view.looks[number]['seeds']} of at most "
    text = f". {at}{stop.max_seeds} seeds: {STOPPED[seen['decision']]}; {level}"
    if row["effect"] is None or seen["effect"] is None:
        return text
    text += f", and the interval, of {100 * (1 - seen['level']):.4g} %, accounts for all looks"
    same = math.isclose(row["effect"], seen["effect"], abs_tol=1e-9)
    then = amount(seen["effect"], row["unit"])
    return text if same else f"{text}. DECIDED ON OTHER RESULTS: the effect was {then} then"


def problem_count(row: dict[str, Any]) -> str:
    """`500`, or `30 of 500`."""
    some = row["problems"] < row["answered"]
    return f"{row['problems']} of {row['answered']}" if some else str(row["problems"])


def _claim(row: dict[str, Any]) -> str:
    """`confirmatory`, or `exploratory: ` and why."""
    return row["kind"] if row["why"] is None else f"{row['kind']}: {row['why']}"


def _name(row: dict[str, Any]) -> str:
    secondary = "" if row["primary"] else " (secondary)"
    return f"{row['contrast']}{secondary}" + (" (dropped since)" if row["dropped"] else "")


def forest(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Forest plot: effects of one unit with confidence intervals and a line at 0."""
    shown = rows.select(
        "effect", "low", "high", "conclusion", "kind",
        contrast=pl.Series([_name(row) for row in rows.iter_rows(named=True)]),
        interval=pl.Series([finding(row) for row in rows.iter_rows(named=True)]),
    )  # fmt: skip
    y = alt.Y("contrast:N", sort=None, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    legend = alt.Legend(title=None) if shown["kind"].n_unique() > 1 else None
    colour = alt.Color("kind:N", legend=legend, scale=alt.Scale(domain=KINDS))
    shape = alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=KINDS, range=["circle", "diamond"]))
    base = alt.Chart(shown)
    unit = "points" if rows["unit"][0] == "share" else rows["unit"][0]
    labels = POINTS if unit == "points" else "format(datum.value, '+.3~r')"
    ticks = alt.Axis(labelExpr=labels, grid=True, tickCount=6)
    x = alt.X("low:Q", title=f"difference ({unit})", axis=ticks)
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y, color=colour)
    tips = [alt.Tooltip("contrast:N"), alt.Tooltip("interval:N", title="effect")]
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="effect:Q", y=y, color=colour, shape=shape, tooltip=tips
    )
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q")
    return alt.layer(zero, bars, points).properties(height=max(2, len(shown)) * ROW)


def _row(row: dict[str, Any]) -> list[str]:
    named = [_name(row), row["comparison"], row["score"], _claim(row)]
    if row["effect"] is None:
        return [*named, f"no result: {row['note']}", *["–"] * (len(HEADER) - len(named) - 1)]
    return [
        *named,
        row["conclusion"],
        row["over"] or "–",
        effect(row),
        interval(row, "low", "high"),
        *(_p(row[name]) for name in ("p", "p_adj", "p_equivalent", "p_equivalent_adj")),
        *(
            amount(row[name], "share") if row[name] is not None else "–"
            for name in ("by_finishing", "by_being_right")
        ),
        interval(row, "low_boot", "high_boot"),
        *(_p(row[name]) for name in ("p_flips", "p_mcnemar")),
        f"{problem_count(row)} × {row['samples']} × {row['seeds']}{'' if row['paired'] else ', unpaired'}",
    ]


def effect(row: dict[str, Any]) -> str:
    """`+12.3` points, or `+0.120 nats per token`."""
    return amount(row["effect"], row["unit"]) + ("" if row["unit"] == "share" else f" {row['unit']}")


def interval(row: dict[str, Any], low: str, high: str) -> str:
    """`[+8.1, +16.5]` of two columns; a dash where there is none."""
    ends = (amount(row[name], row["unit"]) for name in (low, high))
    return "–" if row[low] is None else f"[{', '.join(ends)}]"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
