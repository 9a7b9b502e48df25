"""Pools in the contract's schema, made in a store: for tests of the selection."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.schema import PROBLEMS, SOLUTIONS
from limo_ablate.data.select.config import ScoreConfig, SelectConfig
from limo_ablate.data.select.correctness import grades
from limo_ablate.data.select.features import features
from limo_ablate.data.select.selection import Evidence, Selected, choose_rows
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import DataConfig, DifficultyConfig

DEFAULT = compose([])
SCORE: ScoreConfig = DEFAULT.select.score
SELECT: SelectConfig = DEFAULT.select
DATA = DataConfig(
    name="made",
    source="file",
    difficulty=DifficultyConfig(measure="level", bands={"hard": (7, 9), "easy": (1, 3)}),
)


def sample_pool(
    store: Store, problems: Sequence[dict[str, Any]], solutions: Sequence[dict[str, Any]]
) -> Artifact:
    """A pool; what a row leaves out is null, ids and digests are filled in."""

    def make(folder: Path) -> None:
        rows = [{"text": f"question {p['id']}", "source": "made", **p} for p in problems]
        texts = [
            {"id": f"{s['problem']}-{i}", "digest": hashlib.sha256(s["text"].encode()).hexdigest()[:16], **s}
            for i, s in enumerate(solutions)
        ]
        for name, schema, found in (("problems", PROBLEMS, rows), ("solutions", SOLUTIONS, texts)):
            table = [{column: row.get(column) for column in schema.names} for row in found]
            pq.write_table(pa.Table.from_pylist(table, schema=schema), folder / f"{name}.parquet")
        pl.DataFrame(schema={"where": pl.String, "reason": pl.String}).write_parquet(
            folder / "rejected.parquet"
        )

    key = hashlib.sha256(repr((problems, solutions)).encode()).hexdigest()
    return store.build("pool", {"made": key}, make)


def evidence(store: Store, pool: Artifact, *, graded: bool = False, **others: Any) -> Evidence:
    return Evidence(
        features=features(store, SCORE.phrases(), pool),
        grades=grades(store, pool) if graded else None,
        **others,
    )


def choose(
    store: Store, pool: Artifact, config: SelectConfig, data: DataConfig = DATA, **others: Any
) -> Selected:
    return choose_rows(config, data, pool, evidence(store, pool, **others))
