"""Configuration of pools and benchmarks: where problems come from and how their rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from limo_ablate.core.artifacts import NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

if TYPE_CHECKING:
    from limo_ablate.data.pool.schema import Entry as Problem

SOURCES = "limo_ablate.data.pool.sources"
LOADERS: Registry[Callable[[ProblemsConfig], Iterator[tuple[str, dict[str, Any] | Problem | str]]]] = (
    Registry(
        "source",
        {
            "miniature": Entry(f"{SOURCES}:miniature_source", "recurrences, made by a generator"),
            "hub": Entry(f"{SOURCES}:hub_source", "a data set of the Hugging Face hub, or a snapshot of one"),
            "file": Entry(f"{SOURCES}:file_source", "a .jsonl, .json, .csv or .parquet file"),
        },
        group="limo_ablate.loaders",
    )
)
"""Where rows come from; each is a loader, see `limo_ablate.data.pool.sources`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsConfig:
    """Where a row of a source holds what; null where it does not.

    A field is a column (`answer`), a path into nested ones (`conversations.0.value`), or a text around such
    (`{instruction}\n{input}`).
    """

    problem: str
    answer: str | None
    """Gold answer; null: the one that the first solution states (its last \\boxed, else `#### x`)."""
    solution: str | dict[str, str] | None = None
    """A text or a list of texts; or each teacher's field: {r1: deepseek_attempt, gemini: gemini_attempt}."""
    id: str | None = None
    level: str | None = None
    """A difficulty, higher is harder."""
    subject: str | None = None
    source: str | None = None
    pass_rate: str | None = None
    """Share of a reference model's samples that were right, 0..1; null: the share of `correct`, if given."""
    tier: str | None = None
    """A quality tier the data already carries (L1..L5); null: tiers come from the reasoning-chain score."""
    teacher: str | None = None
    """What wrote the solutions."""
    correct: str | None = None
    """Whether each solution is right, as the data says: a flag, or a list beside a list of solutions."""
    complete: str | None = None
    """Whether each solution came to its end; others are left out and listed."""
    tokens: str | None = None
    """Tokens of each solution."""
    score: str | None = None
    """A number for each solution, which `select.order=column` goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniatureProblemsConfig:
    """Recurrences modulo 100, made by `pool/miniature`; see docs/miniature.md."""

    per_level: int
    """Problems for each level."""
    levels: tuple[int, int]
    """Fewest and most steps, both included."""
    seed: int
    holdout: Literal["train", "test"]
    """Train and test problems are disjoint by construction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemsConfig:
    """Where problems come from."""

    source: Annotated[str, LOADERS]
    path: str | None = None
    """Hub id, or a local file or folder (.jsonl, .json, .csv, .parquet, a snapshot folder)."""
    subset: str | None = None
    """A hub data set's configuration, where it has several."""
    split: str = "train"
    revision: str | None = None
    fields: FieldsConfig | None = None
    where: dict[str, Any] | None = None
    """Only rows whose fields have these values, or one of a list of them: {domain: [math, logic]}."""
    miniature: MiniatureProblemsConfig | None = None
    limit: int | None = None
    """Only the first so many problems."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit={self.limit}: at least one problem is needed; null takes all")


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsConfig:
    """What `select.difficulty` reads: a named band, or a number beyond which (harder) problems are kept."""

    measure: Literal["level", "pass_rate", "solutions", "reference"]
    """The data's level; the pass rate it carries; the share of the pool's own solutions that the verifier
    accepts; or the pass rate of reference models, measured by the trial."""
    bands: dict[str, tuple[float, float]]
    """Name -> (lowest, highest), both included."""

    def __post_init__(self) -> None:
        for name, (low, high) in self.bands.items():
            if low > high:
                raise UserError(f"data.difficulty.bands.{name}=[{low:g}, {high:g}]: the lowest comes first")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig(ProblemsConfig):
    """A pool of problems and solutions."""

    name: str
    difficulty: BandsConfig
    parts: dict[str, ProblemsConfig] | None = None
    """Several sources instead of `path`; a part's name is the source of its rows."""
    bad_rows: Literal["skip", "error"] = "skip"
    """Rows that don't fit are listed with file, line and reason; then the rest goes on, or it stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesConfig:
    """Options of a multiple-choice set, shuffled for each problem: where they stand, how they are asked."""

    wrong: tuple[str, ...] | None = None
    """Fields of the wrong options, the answer being the text of the right one; null: the options stand
    lettered inside the problem's text, and the answer is a letter."""
    instruction: str | None = None
    """What follows the options; null: the last paragraph of the problem's text, where they stand in it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.wrong is not None and not 1 <= len(self.wrong) <= 9:
            raise UserError(f"choices.wrong={list(self.wrong)}: one to nine fields, or null")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSetConfig(ProblemsConfig):
    """Problems with gold answers."""

    split: str = "test"
    choices: ChoicesConfig | None = None
    """For multiple choice; null leaves the problem as it is."""
    groups: dict[str, tuple[float, float]] | None = None
    """Scores are also given for these ranges of the problems' level, both ends included."""
    items: int | None = field(default=None, metadata=NOT_IN_KEY)
    """Problems it has, for `limo-ablate plan` where they can't be counted; checked once it is read."""


def same_problems(one: BenchmarkSetConfig, other: BenchmarkSetConfig) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in DECISIVE)


DECISIVE = tuple(f.name for f in fields(BenchmarkSetConfig) if f.name not in ("groups", "items"))
"""Fields that decide which problems a benchmark has."""
