"""Pools and benchmarks as artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import BenchmarkConfig, DataConfig, FieldsConfig
from limo_ablate.errors import UserError
from limo_ablate.pool.schema import PROBLEMS, REJECTED, SOLUTIONS, Row, Tables, read
from limo_ablate.pool.sources import file_rows, hub_rows, source_digest

VERSION = 1


def load_pool(store: Store, data: DataConfig) -> Artifact:
    """The pool as `problems.parquet`, `solutions.parquet`, `rejected.parquet`."""
    inputs = {"data": _content(data, ("difficulty", "bad_rows")), "file": _digest(data.path)}
    return store.build("pool", VERSION, inputs, lambda folder: _write_pool(data, folder))


def load_benchmark(store: Store, name: str, benchmark: BenchmarkConfig) -> Artifact:
    """The benchmark's problems as `problems.parquet`, `rejected.parquet`."""
    sampling = ("samples", "temperature", "top_p", "max_tokens", "groups")
    inputs = {"name": name, "benchmark": _content(benchmark, sampling), "file": _digest(benchmark.path)}
    return store.build("benchmark", VERSION, inputs, lambda folder: _write_benchmark(name, benchmark, folder))


def _write_pool(data: DataConfig, folder: Path) -> None:
    if data.source == "miniature":
        from limo_ablate.pool import miniature

        assert data.miniature is not None
        problems = miniature.problems(data.miniature)
        tables = Tables({p["id"]: p for p in problems}, miniature.solutions(problems))
    else:
        tables = read(_rows(data), _fields(data, data.name), data.name, ids_by_text=True)
        if tables.rejected and data.bad_rows == "error":
            first = tables.rejected[0]
            raise UserError(
                f"data={data.name}: {len(tables.rejected)} rows don't fit, the first: {first['where']}: "
                f"{first['reason']}; mend the file or set data.bad_rows=skip"
            )
    _require(tables, data.name)
    if not tables.solutions:
        raise UserError(
            f"data={data.name}: no solutions to train on; set data.fields.solution to their column"
        )
    _write(tables.problems.values(), PROBLEMS, folder / "problems.parquet")
    _write(tables.solutions, SOLUTIONS, folder / "solutions.parquet")
    _write(tables.rejected, REJECTED, folder / "rejected.parquet")


def _write_benchmark(name: str, benchmark: BenchmarkConfig, folder: Path) -> None:
    if benchmark.source == "miniature":
        from limo_ablate.pool import miniature

        assert benchmark.miniature is not None
        tables = Tables({p["id"]: p for p in miniature.problems(benchmark.miniature)})
    else:
        tables = read(_rows(benchmark), _fields(benchmark, name), name, ids_by_text=False)
    _require(tables, name)
    _write(list(tables.problems.values())[: benchmark.limit], PROBLEMS, folder / "problems.parquet")
    _write(tables.rejected, REJECTED, folder / "rejected.parquet")


def _rows(config: DataConfig | BenchmarkConfig) -> Iterator[tuple[str, Row | str]]:
    if config.path is None:
        raise UserError("no path given: set data.path (or eval.benchmarks.NAME.path) to a file or a hub id")
    if config.source == "file":
        return file_rows(config.path)
    return hub_rows(config.path, config.split, config.revision)


def _fields(config: DataConfig | BenchmarkConfig, name: str) -> FieldsConfig:
    if config.fields is None:
        raise UserError(f"{name}: `fields` must say which column holds what")
    return config.fields


def _require(tables: Tables, name: str) -> None:
    if not tables.problems:
        first = tables.rejected[0] if tables.rejected else {"where": "source", "reason": "empty"}
        raise UserError(
            f"{name}: no usable problem ({len(tables.rejected)} rows rejected, "
            f"the first: {first['where']}: {first['reason']})"
        )


def _content(config: DataConfig | BenchmarkConfig, left_out: tuple[str, ...]) -> dict[str, Any]:
    """The part of a config that decides which rows there are; a local path counts by its bytes only."""
    content = {k: v for k, v in asdict(config).items() if k not in (*left_out, "name")}
    if _digest(config.path) is not None:
        del content["path"]
    return content


def _digest(path: str | None) -> str | None:
    return None if path is None else source_digest(path)


def _write(rows: Iterable[Row], schema: dict[str, Any], path: Path) -> None:
    pl.DataFrame(list(rows), schema=schema, orient="row").write_parquet(path)
