"""Configuration of pools and benchmarks: where problems come from and how their rows are read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import is_plain_name
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.grade.grader import GraderOptions
from limo_ablate.data.grade.graders import CODE, GRADERS, JUDGE, VERIFIER, Grading
from limo_ablate.data.miniature.recurrence import MiniatureProblemsConfig
from limo_ablate.data.pool.strip import compiled

SOURCES = "limo_ablate.data.pool.sources"
LOADERS: Registry[Any] = Registry(
    "source",
    {
        "miniature": Entry(f"{SOURCES}:miniature_source", "recurrences, made by a generator"),
        "counting": Entry(f"{SOURCES}:counting_source", "counting along days, months, letters; generated"),
        "hub": Entry(f"{SOURCES}:hub_source", "a data set of the Hugging Face hub, or a snapshot of one"),
        "file": Entry(
            f"{SOURCES}:file_source",
            "files of JSON, CSV, parquet or arrow: one, a folder, a pattern, a URL",
        ),
        "lm_eval": Entry(
            "limo_ablate.data.pool.lm_eval_source:lm_eval_source",
            "tasks of lm-evaluation-harness (`lm-eval` extra), of benchmarks only",
        ),
    },
    group="limo_ablate.loaders",
)
"""Where rows come from; each is a loader, see `limo_ablate.data.pool.sources`."""
GENERATED = ("miniature", "counting")
"""Sources that read nothing, and whose benchmarks have other problems than their pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsConfig:
    """Fields of a source's rows; null for a field that the rows don't have.

    A field is a column (`answer`), a path into nested columns (`conversations.0.value`), or a template of
    these (`{instruction}\n{input}`), in which \n and \t are a new line and a tab, and a list has a line for
    each text. `problem` and `solution` may both be a column of turns (`messages`): the question and its
    answer.
    """

    problem: str
    """Column with the question."""
    answer: str | None
    """Gold answer; null: taken from the first solution (its last \\boxed, else `#### x`) that
    `correct` does not mark as wrong."""
    solution: str | dict[str, str] | None = None
    """A text or a list of texts; or a field per teacher: {r1: deepseek_attempt, gemini: gemini_attempt}."""
    id: str | None = None
    """Column with the row's id; null: its number."""
    level: str | None = None
    """A difficulty, higher is harder."""
    subject: str | None = None
    """Column with the topic, or the label."""
    source: str | None = None
    """Column with where the row is from."""
    pass_rate: str | None = None
    """Share of a reference model's samples that are right, 0..1; null: the share of `correct`, if set."""
    tier: str | None = None
    """A quality tier that the data has (L1..L5); null: tiers come from the reasoning-chain score."""
    teacher: str | None = None
    """Author of the solutions."""
    correct: str | None = None
    """Whether each solution is right according to the data: a flag, or a list with a flag per solution."""
    complete: str | None = None
    """Whether each solution is complete; incomplete ones are dropped and reported."""
    tokens: str | None = None
    """Number of tokens of each solution."""
    score: str | None = None
    """A number for each solution, for `select.order=column`."""
    answers: Literal["all", "any"] | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Of a list of gold answers: whether a completion must have all of them, or any (then for
    `grader=any_of`); null: rows with several are rejected."""
    options: str | tuple[str, ...] | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Options of multiple choice: a list, a mapping by letter, or a list of fields; they are listed under
    the problem, and the answer (a letter, a position or a text in the data) becomes a letter."""
    first_option: Literal["auto", 0, 1] | None = field(default="auto", metadata=DEFAULT_NOT_IN_KEY)
    """Number of the first option, where `answer` is a position; auto: the first rows tell it, or are refused;
    null: a number is an option's text."""
    system_turns: Literal["drop", "keep"] = field(default="drop", metadata=DEFAULT_NOT_IN_KEY)
    """Of conversations: `drop` trains all rows with `train.system_prompt`; `keep` trains a row that has a
    system turn (or a `system` column) with its own."""
    strip_prefix: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """What is cut off the beginning of each problem: a text, or `re:` and a regular expression."""
    strip_suffix: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """The same for its end."""
    strip: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """The same for anywhere in it."""

    def __post_init__(self) -> None:
        for key, value in self.stripped().items():
            compiled(key, value)

    def __hash__(self) -> int:
        """Cheap, and defined although `solution` may be a dict: what is derived of fields is cached."""
        return hash((self.problem, self.answer))

    def stripped(self) -> dict[str, str]:
        """What is cut off problems, by key."""
        return {key: value for key in STRIP if (value := getattr(self, key)) is not None}

    def columns(self) -> list[tuple[str, str]]:
        """(key, field) of each field that the rows have; `solution.r1` where there are several."""
        found = []
        for role in COLUMN_ROLES:
            value = getattr(self, role)
            if isinstance(value, str):
                found.append((role, value))
            elif isinstance(value, dict):
                found += [(f"{role}.{name}", column) for name, column in value.items()]
            elif value is not None:
                found += [(role, column) for column in value]
        return found


def check_answers(where: str, grader: str, fields: FieldsConfig | str | None) -> None:
    """Raises UserError where a list of gold answers is joined in a way that the grader does not read."""
    if grader == CODE and isinstance(fields, FieldsConfig) and fields.answers:
        raise UserError(
            f"{where}: grader=code with fields.answers={fields.answers}, which makes no program of a list; "
            f"a template has a line for each of its tests: fields.answer='{{{fields.answer}}}'"
        )


STRIP = ("strip_prefix", "strip_suffix", "strip")
NO_COLUMN = (*STRIP, "answers", "first_option", "system_turns")
COLUMN_ROLES = tuple(f.name for f in fields(FieldsConfig) if f.name not in NO_COLUMN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemsConfig:
    """Where problems come from."""

    source: Annotated[str, LOADERS]
    """Loader of the rows."""
    path: str | None = None
    """Hub id, or a local file, folder or pattern (`shards/*.jsonl.gz`), or the URL of a file: .jsonl,
    .ndjson, .json, .csv, .tsv, .parquet, .arrow; texts also packed (.gz, .xz, .bz2, .zst)."""
    subset: str | None = None
    """A hub data set's configuration, where it has several."""
    split: str = "train"
    """Split of a hub data set."""
    revision: str | None = None
    """Of a hub data set; of a file at a URL, its SHA-256."""
    encoding: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Of a text file that is not UTF-8; null: by its first bytes, else the likeliest one, which is told."""
    fields: FieldsConfig | Literal["auto"] | None = None
    """auto: of a pool, as its first rows are recognised (`limo-ablate data inspect FILE` shows how)."""
    where: dict[str, Any] | None = None
    """Keep only rows whose fields have these values, or one of a list of values: {domain: [math, logic]}."""
    miniature: MiniatureProblemsConfig | None = None
    limit: int | None = None
    """Keep only this number of problems, the first ones."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit={self.limit}: must be at least 1; null takes all problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsConfig:
    """How difficulty is measured, and its bands, for `select.difficulty`."""

    measure: Literal["level", "pass_rate", "solutions", "reference"]
    """The data's level; the data's pass rate; the share of the pool's own solutions that the verifier
    accepts; or the pass rate of reference models, measured by the trial."""
    bands: dict[str, tuple[float, float]]
    """Name -> (lowest, highest), inclusive."""

    def __post_init__(self) -> None:
        for name, (low, high) in self.bands.items():
            if low > high:
                raise UserError(f"data.difficulty.bands.{name}=[{low:g}, {high:g}]: put the lowest first")


LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig(ProblemsConfig):
    """A pool of problems and solutions."""

    name: str
    """Name in tables."""
    difficulty: BandsConfig
    parts: dict[str, ProblemsConfig] | None = None
    """Several sources instead of `path`; a part's name is the `source` of its rows."""
    bad_rows: Literal["skip", "error"] = "skip"
    """What to do with rows that don't fit: skip and report them with file, line and reason, or stop."""
    without_gold: Literal["reject", "keep"] = field(default="reject", metadata=DEFAULT_NOT_IN_KEY)
    """What to do with problems that have no gold answer, neither a field nor one stated by a solution: they
    can be trained on, but nothing of them can be graded."""
    grader: Annotated[str, GRADERS] = field(default=VERIFIER, metadata=DEFAULT_NOT_IN_KEY)
    """Grader of solutions (select.correctness, data/difficulty=solutions) and of reference models."""
    grader_options: GraderOptions = field(default=GraderOptions(), metadata=DEFAULT_NOT_IN_KEY)

    def __post_init__(self) -> None:
        ProblemsConfig.__post_init__(self)  # super() does not work in a class with slots
        if not is_plain_name(self.name) or len(self.name.encode()) > LONGEST_NAME:
            raise UserError(
                f"data.name={self.name}: part of a folder's name; use at most {LONGEST_NAME} bytes, no slash"
            )
        check_answers("data", self.grader, self.fields)
        if self.grader == JUDGE:
            raise UserError("data.grader=judge: a judge grades the completions of a benchmark only")

    def grading(self) -> Grading:
        return Grading(self.grader, self.grader_options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesConfig:
    """Where the options of multiple-choice problems are, and how they are shown; they are shuffled."""

    wrong: tuple[str, ...] | None = None
    """Fields of the wrong options, if the answer is the text of the right one; null: the problem's text
    contains the lettered options, and the answer is a letter."""
    instruction: str | None = None
    """Text after the options; null: the last paragraph of a problem's text that contains its options."""
    seed: int = 0
    """Decides everything random in this section."""

    def __post_init__(self) -> None:
        if self.wrong is not None and not 1 <= len(self.wrong) <= 9:
            raise UserError(f"choices.wrong={list(self.wrong)}: must be one to nine fields, or null")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSetConfig(ProblemsConfig):
    """Problems with gold answers."""

    split: str = "test"
    """Split of a hub data set."""
    choices: ChoicesConfig | None = None
    """For multiple choice; null leaves problems unchanged."""
    groups: dict[str, tuple[float, float]] | None = None
    """Ranges of the problems' level, inclusive, that are also scored separately."""
    task: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Of source=lm_eval: a task or a group of tasks; `path`: a folder of task files instead of the package's,
    `limit`: documents of each task."""
    filter: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Filter of a task whose scores count; null where it has one."""
    metric: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """The same for its metric, which must lie between 0 and 1."""
    num_fewshot: int | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Examples in a prompt; null: as the task says."""
    items: int | None = field(default=None, metadata=NOT_IN_KEY)
    """Number of problems, for `limo-ablate plan` if it can't count them; checked when the file is read."""

    def __post_init__(self) -> None:
        ProblemsConfig.__post_init__(self)  # super() does not work in a class with slots
        if (self.source == "lm_eval") != (self.task is not None):
            raise UserError(
                f"a benchmark's source={self.source}, task={self.task}: source=lm_eval needs a task, "
                "others have none"
            )
        if self.task and (self.fields or self.choices or self.where):
            raise UserError(
                f"task={self.task}: fields, choices and where are the task's own; set them to null"
            )
        if self.fields == "auto":
            raise UserError(
                "a benchmark's fields=auto: its grader depends on them; `limo-ablate data inspect FILE` "
                "prints both"
            )


def same_problems(one: BenchmarkSetConfig, other: BenchmarkSetConfig) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in DECISIVE)


DECISIVE = tuple(f.name for f in fields(BenchmarkSetConfig) if f.name not in ("groups", "items"))
"""Fields that determine a benchmark's problems."""
