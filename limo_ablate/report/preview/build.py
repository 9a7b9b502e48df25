"""Builds the preview of a selection: chosen rows, manifest, flagged pairs, counts of the pool."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, content_key
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json
from limo_ablate.data.select.contamination import gate_notes
from limo_ablate.data.select.selection import Selected, choose_rows
from limo_ablate.report.preview.manifest import manifest
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.rows import pool_and_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages

WRITTEN = (
    "rows.jsonl", "manifest.parquet", "flags.parquet", "rejected.parquet", "selection.json", "funnel.png",
    "length_by_tier.png",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    config: TrialConfig
    selected: Selected
    pool: Artifact
    flags: pl.DataFrame | None
    """Pairs flagged by the contamination gate; None if the gate is off."""
    gate_notes: list[str]
    """What the gate did not compare, or does not list."""
    manifest: pl.DataFrame
    rejected: pl.DataFrame
    """Rows of the source that could not be used: where, reason."""
    counts: dict[str, int]
    """Counts of the source, from pool.json."""
    benchmarks: dict[str, tuple[int, int]]
    """Benchmark compared by the gate -> (items, unusable rows)."""

    @property
    def key(self) -> str:
        """Hash of the selection's configuration and of the chosen rows in order."""
        chosen = self.manifest.filter(pl.col("place").is_not_null()).sort("place")
        rows = list(chosen.select("problem", "solution", "digest").iter_rows())
        inputs = {"rows": rows, "select": self.config.select, "difficulty": self.config.data.difficulty}
        return content_key("preview", 1, inputs)[:8]

    def write(self, folder: Path) -> None:
        """Writes rows.jsonl, manifest.parquet, flags.parquet, rejected.parquet and selection.json over older
        ones."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)
        columns = [
            "text", "response", "gold", "problem", "level", "subject", "source", "pass_rate", "tier",
            "teacher", "score", "dialog",
        ]  # fmt: skip
        rows = self.selected.rows.select(name for name in columns if name in self.selected.rows.columns)
        names = {"text": "problem", "response": "solution", "gold": "answer", "problem": "id"}
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as lines:
            for row in rows.iter_rows(named=True):
                line = {names.get(name, name): value for name, value in row.items()}
                if dialog := line.pop("dialog", None):
                    read = json.loads(dialog)
                    line |= {"problem": read["turns"], "tools": read["tools"]}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.manifest.write_parquet(folder / "manifest.parquet")
        self.rejected.write_parquet(folder / "rejected.parquet")
        if self.flags is not None:
            self.flags.write_parquet(folder / "flags.parquet")
        facts = {
            "key": self.key,
            "pool": {"key": self.pool.key, "digest": self.pool.digest},
            "score": self.config.select.score.name,
            "benchmarks": self.benchmarks,
            "gate": self.gate_notes,
            "funnel": [asdict(step) for step in self.selected.funnel.steps],
            "data": asdict(self.config.data),
            "select": asdict(self.config.select),
        }
        (folder / "selection.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def build_preview(config: TrialConfig) -> Preview:
    """The preview of the selection of `config`, computed from the pool's evidence. Raises UserError."""
    if config.select.size == 0:
        raise UserError("select.size=0: nothing is selected, the trial evaluates the untuned base model")
    stages = Stages()
    pool, evidence = pool_and_evidence(config, stages, trained_model)
    selected = choose_rows(config.select, config.data, pool, evidence)
    flags = pl.read_parquet(evidence.flags.path / "flags.parquet") if evidence.flags else None
    rejected = pl.read_parquet(pool.path / "rejected.parquet")
    counts = read_json(pool.path / "pool.json")
    listed = manifest(selected, pool, config.select.perturb)
    notes = gate_notes(evidence.flags.path) if evidence.flags else []
    return Preview(config, selected, pool, flags, notes, listed, rejected, counts, _compared(stages))


def _compared(stages: Stages) -> dict[str, tuple[int, int]]:
    counts = {}
    for name, artifact in stages.artifacts.items():
        if artifact.stage == "benchmark":
            items, none = (
                pl.scan_parquet(artifact.path / f"{table}.parquet").select(pl.len()).collect().item()
                for table in ("problems", "rejected")
            )
            counts[name.removeprefix("benchmark/")] = (items, none)
    return counts
