"""A selection made to be looked at, with the pool's facts beside those of the chosen rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from limo_ablate.artifacts import Artifact, Store, content_key
from limo_ablate.config import TrialConfig
from limo_ablate.errors import UserError
from limo_ablate.pool import load_pool
from limo_ablate.preview.manifest import manifest
from limo_ablate.select import Selected, curate
from limo_ablate.selection import gather
from limo_ablate.stages import Stages
from limo_ablate.train import base_model


@dataclass(frozen=True, slots=True)
class Preview:
    config: TrialConfig
    selected: Selected
    pool: Artifact
    flags: pl.DataFrame | None
    """The contamination gate's pairs; null where there is none."""
    manifest: pl.DataFrame
    rejected: pl.DataFrame
    """Rows of the source that did not fit: where, reason."""
    seconds: dict[str, float]

    @property
    def key(self) -> str:
        """Of the chosen rows: the same rows in the same order give the same key."""
        chosen = self.manifest.filter(pl.col("place").is_not_null()).sort("place")
        rows = list(chosen.select("problem", "solution", "digest").iter_rows())
        return content_key("rows", 1, {"rows": rows, "perturb": self.config.select.perturb})[:8]

    def write(self, folder: Path) -> None:
        """rows.jsonl, manifest.parquet, flags.parquet, rejected.parquet, selection.json."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.selected.rows.select(
            "text", "response", "gold", "problem", "level", "subject", "source", "pass_rate", "tier",
            "teacher", "score",
        )  # fmt: skip
        names = {"text": "problem", "response": "solution", "gold": "answer", "problem": "id"}
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as lines:
            for row in rows.iter_rows(named=True):
                line = {names.get(name, name): value for name, value in row.items()}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.manifest.write_parquet(folder / "manifest.parquet")
        self.rejected.write_parquet(folder / "rejected.parquet")
        if self.flags is not None:
            self.flags.write_parquet(folder / "flags.parquet")
        facts = {
            "rows": self.key,
            "pool": {"key": self.pool.key, "digest": self.pool.digest},
            "score": self.config.select.score.name,
            "funnel": [asdict(step) for step in self.selected.funnel.steps],
            "data": asdict(self.config.data),
            "select": asdict(self.config.select),
        }
        (folder / "selection.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def make(config: TrialConfig) -> Preview:
    """The selection of `config`, made anew from the pool's facts. Raises UserError."""
    if config.select.size == 0:
        raise UserError("select.size=0: nothing is selected, the trial evaluates the untuned base model")
    store, stages = Store(config.paths.artifacts), Stages()
    pool = stages.run("pool", load_pool, store, config.data)
    base = None
    if config.select.tokens is not None:
        base = stages.run("base", base_model, store, config.model, pool)
    evidence = gather(config, stages, pool, base)
    selected = curate(config.select, config.data, pool, evidence)
    flags = pl.read_parquet(evidence.flags.path / "flags.parquet") if evidence.flags else None
    rejected = pl.read_parquet(pool.path / "rejected.parquet")
    listed = manifest(selected, pool)
    return Preview(config, selected, pool, flags, listed, rejected, stages.seconds)
