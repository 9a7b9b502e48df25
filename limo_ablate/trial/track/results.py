"""What a finished trial uploads to W&B: metrics, a table of completions, artifacts with their lineage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import wandb

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.files import check_links
from limo_ablate.core.manifest import read_manifest
from limo_ablate.trial.track.names import logged

TABLE_ROWS = 100
"""Largest number of completions per trial: the same problems in each, spread evenly over all."""
TEXT_LENGTH = 4000
"""Largest number of characters of a text; longer ones lose their middle, so that tables open quickly."""
COPIED_BYTES = 1 << 20
"""Files up to this size are copied into the artifact; larger ones are references to the store."""
COLUMNS = (
    "benchmark", "problem", "sample", "prompt", "completion", "gold", "answer",
    "status", "reason", "tokens", "finish",
)  # fmt: skip


def flat_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """`eval/mini/accuracy`, `trained/loss`, `seconds/weights`, ...: one number per key, for W&B's panels."""
    groups = {f"eval/{name}": score for name, score in metrics["scores"].items()}
    groups |= {
        "trained": metrics["train"],
        "seconds": metrics["seconds"] | {"total": metrics["total_seconds"]},
    }
    return {
        logged(f"{group}/{key}"): value for group, values in groups.items() for key, value in values.items()
    }


def completions_table(folder: Path) -> Any:
    """A wandb.Table of at most `TABLE_ROWS` completions with their verdicts."""
    keys = ["benchmark", "problem", "sample"]
    texts = pl.read_parquet(folder / "completions.parquet", columns=[*keys, "prompt", "completion"])
    texts = texts.gather_every(-(-texts.height // TABLE_ROWS) or 1)
    rows = texts.join(pl.read_parquet(folder / "verdicts.parquet"), on=keys, maintain_order="left")
    rows = rows.with_columns(pl.col("prompt", "completion").map_elements(_shortened, return_dtype=pl.String))
    return wandb.Table(columns=list(COLUMNS), data=[list(row) for row in rows.select(COLUMNS).iter_rows()])


def _shortened(text: str) -> str:
    half = TEXT_LENGTH // 2
    return text if len(text) <= TEXT_LENGTH else f"{text[:half]} [...] {text[-half:]}"


def wandb_artifacts(artifacts: dict[str, Artifact]) -> Iterator[tuple[Any, str]]:
    """Each stage's artifact as a wandb.Artifact, with its key as alias and its inputs as metadata."""
    for name, stored in artifacts.items():
        check_links(stored.path)
        manifest = read_manifest(stored.path)
        described = {
            "key": stored.key,
            "digest": stored.digest,
            "seconds": stored.seconds,
            "inputs": manifest["inputs"],
        }
        artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", name), type=stored.stage, metadata=described)
        for file in sorted(p for p in stored.path.rglob("*") if p.is_file()):
            _add(artifact, file, file.relative_to(stored.path).as_posix())
        yield artifact, stored.key


def _add(artifact: Any, file: Path, name: str) -> None:
    """Adds a file, immutable and without checksum: a path in the store identifies its content."""
    if file.stat().st_size <= COPIED_BYTES:
        artifact.add_file(str(file), name=name, policy="immutable", skip_cache=True)
    else:
        artifact.add_reference(file.resolve().as_uri(), name=name, checksum=False)
