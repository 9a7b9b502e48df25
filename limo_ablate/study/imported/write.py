"""Writes the folder of an imported study, as a sweep would have: study.yaml, cells.json, trials."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from limo_ablate.core.artifacts import digest_file
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.typed import nearest
from limo_ablate.study.design import Study, load_study
from limo_ablate.study.folder import IMPORTED, SEEN_AS, STUDY
from limo_ablate.study.imported.config import BLOCK, ImportConfig, number_of
from limo_ablate.study.imported.logs import FORMATS, ROWS, Log, format_of
from limo_ablate.study.levels import in_order
from limo_ablate.study.naming import slug
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from limo_ablate.trial.evaluate.passes import word_of

NOT_KNOWN = (
    "boxed", "lenient", "maj@", "undecided", "no_answer", "unfinished", "truncated", "loops", "tokens",
)  # fmt: skip
"""Scores that logs say nothing about."""
CELLS = "cells.json"
OURS = (STUDY, CELLS, SEEN_AS, "trials", "report")
"""What is written anew in a study's folder."""
TEXTS = ["benchmark", "problem", "sample", "tokens", "finish", "loops", "prompt", "completion"]
"""Columns of completions.parquet."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What becomes one trial: the logs of one combination of levels under one seed."""

    levels: dict[str, Any]
    seed: int
    logs: dict[str, Log]
    files: list[Path]
    formats: list[str]


def import_study(config: ImportConfig, studies: Path) -> Path:
    """The folder of the study, written anew. Raises UserError where a study that ran has its name."""
    folder = studies / config.name
    if folder.exists() and not _is_imported(folder):
        raise UserError(f"{folder}: a study that has run here has that name; choose another `name`")
    arms = _arms(config)
    declared = yaml.safe_dump(_study(config, arms), sort_keys=False, allow_unicode=True)
    new = studies / f".{config.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        (new / STUDY).write_text(declared)
        _check_scores(load_study(str(new / STUDY)), arms)  # which raises for what is declared wrongly
        cells = [_write_trial(new, config, arm) for arm in arms]
        write_atomically(new / CELLS, json.dumps(cells, indent=1) + "\n")
        (new / SEEN_AS).write_text(f"{folder}\n")
        for other in folder.iterdir() if folder.is_dir() else ():
            if other.name not in OURS:
                other.rename(new / other.name)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _check_scores(study: Study, arms: list[Arm]) -> None:
    known = sorted({name for arm in arms for name in arm.logs})
    for contrast in study.contrasts:
        for score in [contrast.score] if isinstance(contrast.score, str) else contrast.score:
            if score not in known:
                raise UserError(
                    f"contrast '{contrast.name}': score={score}{nearest(score, known)} In the logs: "
                    f"{', '.join(known)}"
                )


def _is_imported(folder: Path) -> bool:
    return (folder / STUDY).is_file() and load_study(str(folder / STUDY)).imported


def _arms(config: ImportConfig) -> list[Arm]:
    arms: dict[str, Arm] = {}
    read = [
        (file, kind, levels, seed, log)
        for file, levels, seed in config.found()
        for kind in [config.format or format_of(file)]
        for log in _logs(kind, file, config)
    ]
    numeric = {
        column: all(number_of(log.levels[column]) is not None for *_, log in read)
        for column in config.columns
    }
    for file, kind, in_path, seed_in_path, log in read:
        levels = in_path | {
            column: number_of(level) if numeric[column] else level for column, level in log.levels.items()
        }
        seed = seed_in_path if log.seed is None else log.seed
        arm = arms.setdefault(json.dumps([levels, seed]), Arm(levels, seed, {}, [], []))
        for one in (file, *log.read_too):
            if one not in arm.files:
                arm.files.append(one)
                arm.formats.append(kind)
        name = log.benchmark.replace("/", "-")
        if not log.samples:
            raise UserError(f"{file}: no sample of {name} in it")
        if name in arm.logs:
            raise UserError(
                f"{file}: a second log of {name} for {_text(levels)}, seed {seed}; the first: "
                f"{arm.files[0]}. Narrow `files`, or name another part of the path"
            )
        arm.logs[name] = log
    if not arms:
        raise UserError(f"files={config.files}: no file has all of its {{parts}}")
    return list(arms.values())


def _logs(kind: str, file: Path, config: ImportConfig) -> list[Log]:
    if (config.columns or config.seed) and not FORMATS.entry(kind).target.startswith(ROWS):
        raise UserError(
            f"{file}: `columns` and `seed` are for logs with a row for each graded sample, not for {kind}"
        )
    try:
        found = list(FORMATS.load(kind)(file, config))
    except UserError as error:
        raise UserError(f"{error}" if str(file) in str(error) else f"{file}: {error}") from error
    except Exception as error:  # of whatever kind: the file is as anyone has written it
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{file}: not as {kind} writes logs ({why}); set `format`") from error
    if not found:
        raise UserError(f"{file}: no sample in it")
    return found


def _text(levels: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in levels.items())


def _study(config: ImportConfig, arms: list[Arm]) -> dict[str, Any]:
    axes = {name: list(dict.fromkeys(arm.levels[name] for arm in arms)) for name in config.factors}
    axes = {name: in_order(levels) for name, levels in axes.items()}
    scores = list(dict.fromkeys(name for arm in arms for name in arm.logs))
    x, *others = sorted(axes, key=lambda name: not _sortable(axes[name]))
    line = {"line": others[0]} if others else {}
    drawn = [
        {"title": f"{_word(arms, score).capitalize()} on {score}", "x": x, "score": score, **line}
        for score in scores
    ]
    return {
        "name": config.name,
        "question": config.question,
        "imported": True,
        "seeds": sorted({arm.seed for arm in arms}),
        "blocks": [{"name": BLOCK, "design": "factorial", "axes": axes}],
        "contrasts": [{"block": BLOCK, **contrast} for contrast in config.contrasts],
        "figures": [{"block": BLOCK, **figure} for figure in config.figures or drawn],
    }


def _word(arms: list[Arm], name: str) -> str:
    samples = (sample for arm in arms if name in arm.logs for sample in arm.logs[name].samples)
    return word_of(any(0 < sample.score < 1 for sample in samples))


def _sortable(levels: list[Any]) -> bool:
    return all(isinstance(level, int | float) for level in levels)


def _write_trial(study: Path, config: ImportConfig, arm: Arm) -> dict[str, Any]:
    """Its row of cells.json."""
    name = "-".join([*(slug(str(level)) for level in arm.levels.values()), f"s{arm.seed}"])
    folder = study / "trials" / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{_text(arm.levels)}: another level is also named {name}") from error
    files = {str(file): digest_file(file) for file in arm.files}
    key = hashlib.sha256(json.dumps([arm.levels, arm.seed, sorted(files.values())]).encode()).hexdigest()[:16]
    own = {
        "paths": {"artifacts": ""},
        "eval": {"benchmarks": {benchmark: {"groups": None} for benchmark in arm.logs}},
        IMPORTED: {"format": ", ".join(dict.fromkeys(arm.formats)), "files": list(files)},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(own, sort_keys=False, allow_unicode=True))
    verdicts = pl.concat(_verdicts(benchmark, log) for benchmark, log in arm.logs.items())
    verdicts.drop("prompt", "completion").write_parquet(folder / "verdicts.parquet")
    verdicts.select(TEXTS).write_parquet(folder / "completions.parquet")
    metrics = {
        "trial": key, "study": config.name, "cell": arm.levels, "seed": arm.seed,
        "factors": {"parameters": None}, "scores": _scores(verdicts), "train": {}, "seconds": {},
        "total_seconds": 0.0, "artifacts": {}, "verdicts": digest_file(folder / "verdicts.parquet"),
        "inputs": {"files": files, "versions": {}}, "finished": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return {
        "name": name, "key": key, "folder": name, "seed": arm.seed, "blocks": [BLOCK],
        "overrides": arm.levels,
    }  # fmt: skip


def _verdicts(benchmark: str, log: Log) -> pl.DataFrame:
    score = pl.col("score")
    right = score == 1
    table = pl.DataFrame([asdict(sample) for sample in log.samples]).select(
        pl.lit(benchmark).alias("benchmark"),
        pl.col("item").alias("problem"),
        "sample",
        pl.lit(None, pl.Float64).alias("level"),
        "gold",
        pl.lit(None, pl.String).alias("answer"),
        pl.when(right).then(pl.lit("correct")).otherwise(pl.lit("incorrect")).alias("status"),
        score,
        pl.lit(IMPORTED).alias("rule"),
        pl.lit("as its log says").alias("reason"),
        right.alias("boxed"),
        right.alias("lenient"),
        *(pl.lit(None, pl.Int64).alias(name) for name in ("vote", "tokens")),
        pl.lit(None, pl.String).alias("finish"),
        pl.lit(None, pl.Boolean).alias("loops"),
        "prompt",
        "completion",
    )
    if (double := table.filter(pl.struct("problem", "sample").is_duplicated())).height:
        raise UserError(
            f"benchmark {benchmark}: item {double['problem'][0]} has sample {double['sample'][0]} twice; an "
            "item must be there once for each sample"
        )
    return table


def _scores(verdicts: pl.DataFrame) -> dict[str, dict[str, float | int]]:
    found = {}
    for (benchmark,), own in verdicts.group_by("benchmark", maintain_order=True):
        scores = benchmark_scores(str(benchmark), Results(verdicts=own), None)[str(benchmark)]
        found[str(benchmark)] = {k: v for k, v in scores.items() if not k.startswith(NOT_KNOWN)}
    return found
