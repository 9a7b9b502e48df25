"""Reads the logs of other tools: for each file one benchmark's items, with the score of each sample.

The files are read as they are; none of the tools is needed. An item is identified by the digest of its
content, not by its place: two logs of one benchmark are joined only where they asked the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import parse_json, read_json
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.pool.sources import file_rows
from limo_ablate.study.imported.eval_archive import archive_members

HARNESS = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl(\.(gz|xz|bz2|zst))?")
"""Name of a file of lm-evaluation-harness: its first group is the task."""
DATED = re.compile(r"\d{4}-\d\d-\d\dT")
NAMES = {
    HARNESS.pattern: "lm_eval",
    r".+\.(eval|json)": "inspect",
    r"details_.+\.parquet": "lighteval",
    r"completions_\d+\.parquet": "trl",
    r".+_samples\.jsonl(\.gz|\.zst)?": "every_eval_ever",
}
"""Pattern of a file's name -> what writes files of that name."""
ROWS = "limo_ablate.study.imported.graded_rows"
SEED = "seed"
ROUNDING = 1e-6
MOST_SAMPLES = 1_000_000
NO_SHARE = re.compile(r"maj@|pass@(k\b.*\bk=)?(?!1\b)\d")
"""Metrics of lighteval that are no mean over samples: majority votes, and pass@k of several."""
LETTERS = {"C": 1, "I": 0}
"""Scores of inspect that are no numbers; others (P, N) are neither right nor wrong."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One graded completion."""

    item: str
    """The same for the same question in every file."""
    sample: int
    score: float
    """0..1; 1 is right, 0 is wrong."""
    prompt: str = ""
    completion: str = ""
    gold: str = ""
    place: str = ""
    """The tool's own number or id of the item, if it has one."""

    def __post_init__(self) -> None:
        if not 0 <= self.sample < MOST_SAMPLES:
            raise UserError(f"item {self.item}: sample {self.sample} is not 0 to {MOST_SAMPLES - 1}")


@dataclass(frozen=True, slots=True)
class Log:
    """A file's samples of one benchmark."""

    benchmark: str
    samples: list[Sample]
    levels: dict[str, str] = field(default_factory=dict)
    """Of factors that are columns, as they are written; those of the file's path come on top."""
    read_too: tuple[Path, ...] = ()
    """Files that were read besides the one that was named."""
    seed: int | None = None
    """null: that of the file's path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the user says about the files."""

    score: str | None = None
    """Name of the metric, the scorer or the column; null: the only one."""
    filter: str | None = None
    """lm-eval's filter, or the end of an `evaluation_result_id` of Every Eval Ever; null: the only one."""
    item: str | None = None
    sample: str | None = None
    benchmark: str | None = None
    """Columns of a table; `benchmark` may also be a name, for all files."""
    columns: tuple[str, ...] = ()
    """Columns that are factors, where a log has a row for each graded sample."""
    seed: str | None = None
    """Column that is the seed; null: the path's {seed}, or 0."""


Reader = Callable[[Path, Reading], Iterator[Log]]
FORMATS: Registry[Reader] = Registry(
    "format of logs",
    {
        "lm_eval": Entry(f"{__name__}:lm_eval", "lm-evaluation-harness: samples_TASK_DATE.jsonl"),
        "inspect": Entry(f"{__name__}:inspect", "Inspect: .eval, and .json logs"),
        "lighteval": Entry(f"{__name__}:lighteval", "lighteval: details_*.parquet"),
        "opencompass": Entry(
            "limo_ablate.study.imported.opencompass:opencompass",
            "OpenCompass: results/MODEL/DATASET.json with details, predictions/ beside it",
        ),
        "verl": Entry(f"{ROWS}:verl", "verl: STEP.jsonl of rollout_data_dir or validation_data_dir"),
        "trl": Entry(f"{ROWS}:trl", "TRL: completions_STEP.parquet of log_completions"),
        "every_eval_ever": Entry(f"{ROWS}:every_eval_ever", "Every Eval Ever: *_samples.jsonl"),
        "table": Entry(f"{ROWS}:table", "CSV, JSONL or parquet with a row for each graded sample"),
    },
)


def format_of(file: Path) -> str:
    """What wrote the file, by its name; `table` for others."""
    if file.suffix == ".json" and file.parent.parent.name in ("results", "predictions"):
        return "inspect" if DATED.match(file.name) else "opencompass"
    return next((kind for name, kind in NAMES.items() if re.fullmatch(name, file.name)), "table")


def lm_eval(file: Path, reading: Reading) -> Iterator[Log]:
    """A row for each document and filter; of repeated responses the tool scores the first."""
    rows = [(where, row_of(where, row)) for where, row in file_rows(str(file))]
    filters = list(dict.fromkeys(str(row.get("filter")) for _, row in rows))
    chosen = one_of("filter", reading.filter, filters, file)
    samples = []
    for where, row in rows:
        if str(row.get("filter")) == chosen:
            # older versions list neither the metrics nor hashes, and have arguments as a list
            numbers = [name for name, value in row.items() if isinstance(value, int | float)]
            metrics = row.get("metrics") or [name for name in numbers if name != "doc_id"]
            metric = one_of("score", reading.score, list(metrics), file)
            item = digest(row["doc"]) if row.get("doc") else str(row["doc_hash"])[:16]
            arguments = row.get("arguments")
            prompt = first_of(arguments, "gen_args_0", "arg_0") or first_of(arguments, 0, 0)
            completion = first_of(row.get("resps"), 0, 0)
            score = score_of(row.get(metric), f"{where}: {metric}")
            prompt, completion, gold = (text_of(text) for text in (prompt, completion, row.get("target")))
            place = text_of(row.get("doc_id"))
            samples.append(Sample(item, 0, score, prompt, completion, gold, place))
    task = HARNESS.fullmatch(file.name)
    yield Log(reading.benchmark or (task[1] if task else file.stem), numbered(samples))


def inspect(file: Path, reading: Reading) -> Iterator[Log]:
    """Epochs are samples. A log that did not end in success is refused."""
    header, samples = _inspect_parts(file)
    if (status := header.get("status")) != "success":
        raise UserError(f"{file}: its status is {status}, not success; evaluate again, or leave it out")
    found = []
    for row in samples:
        where = f"{file.name}: sample {row.get('id')}, epoch {row.get('epoch')}"
        scores = row.get("scores") or {}
        scorer = one_of("score", reading.score, list(scores), file)
        value = scores[scorer].get("value")
        completion = (row.get("output") or {}).get("completion")
        found.append(
            Sample(
                digest(row.get("input"), row.get("target")),
                int(row.get("epoch") or 1) - 1,
                score_of(LETTERS.get(value, value) if isinstance(value, str) else value, where),
                text_of(row.get("input")),
                text_of(completion),
                text_of(row.get("target")),
                place=text_of(row.get("id")),
            )
        )
    yield Log(reading.benchmark or str((header.get("eval") or {}).get("task") or file.stem), numbered(found))


def _inspect_parts(file: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    if file.suffix == ".json":
        content = read_json(file)
        return content, iter(content.get("samples") or ())
    header = next(archive_members(file, lambda name: name == "header.json"), None)
    if header is None:
        raise UserError(f"{file}: no header.json in it: the evaluation has not ended")
    members = archive_members(file, lambda name: name.startswith("samples/") and name.endswith(".json"))
    return parse_json(header, file), (parse_json(text, file) for text in members)


def lighteval(file: Path, reading: Reading) -> Iterator[Log]:
    """One metric for each document. If all are shares of its samples, as many are right; which, the log does
    not say, so their texts are left out. Else the metric is the document's score, as of one sample."""
    rows, metrics = [], set()
    for where, one in file_rows(str(file)):
        row = row_of(where, one)
        metric = one_of("score", reading.score, list(row.get("metric") or ()), file)
        metrics.add(metric)
        rows.append((row, score_of(row["metric"].get(metric), f"{where}: {metric}")))
    counts = [(len(_texts(row)), share) for row, share in rows]
    single = all(share in (0, 1) for _, share in counts) or not all(
        abs(share * count - round(share * count)) <= ROUNDING for count, share in counts
    )
    single = single or any(NO_SHARE.search(name) for name in metrics)
    by_task: dict[str, list[Sample]] = {}
    for row, share in rows:
        doc, texts = row.get("doc") or {}, _texts(row)
        count = 1 if single else len(texts)
        item, right = digest(doc.get("query"), doc.get("choices")), round(share * count)
        by_task.setdefault(str(doc.get("task_name") or file.stem), []).extend(
            Sample(
                item, place, share if single else float(place < right), text_of(doc.get("query")),
                text_of(texts[0] * single),
            )
            for place in range(count)
        )  # fmt: skip
    for task, samples in by_task.items():
        yield Log(reading.benchmark or task, numbered(samples))


def _texts(row: dict[str, Any]) -> list[Any]:
    return list((row.get("model_response") or {}).get("text") or ("",))


def numbered(samples: list[Sample]) -> list[Sample]:
    """A question that a benchmark has twice is two items."""
    seen: Counter[tuple[str, int]] = Counter()
    places: set[tuple[str, int, str]] = set()
    found = []
    for one in samples:
        if (place := (one.item, one.sample, one.place)) in places and one.place:
            raise UserError(f"item {one.place} is there twice; a log has each once")
        places.add(place)
        seen[one.item, one.sample] += 1
        count = seen[one.item, one.sample]
        found.append(replace(one, item=f"{one.item}-{count}") if count > 1 else one)
    return found


def digest(*content: Any) -> str:
    """Identifies a question by its content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def row_of(where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: {row}")
    return row


def one_of(key: str, given: str | None, known: list[str], file: Path) -> str:
    """`given`, or the only one there is."""
    if given is None and len(known) == 1:
        return known[0]
    if given is None or given not in known:
        said = f"{key}={given}: none of those" if given else f"set `{key}` to one of those"
        raise UserError(f"{file}: {said} in it: {', '.join(known) or 'there are none'}")
    return given


def score_of(value: Any, where: str) -> float:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return float(value.lower() == "true")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}={value!r}: not a number; a score is 0 (wrong) to 1 (right)") from error
    if not 0 <= number <= 1:
        raise UserError(f"{where}={number:g}: a score is 0 (wrong) to 1 (right); choose another `score`")
    return number


def first_of(content: Any, *path: Any) -> Any:
    for step in path:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def text_of(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)
