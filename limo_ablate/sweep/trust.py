"""What a study names that would run, or that decides where something runs: commands, machines, jobs' options.

A study file may be from others. `sweep`, `join`, `retry` and `repair` list what theirs names, and do nothing
before the user has said `--trust`; a file in the user's own configuration folder keeps a digest of each line.
What the user has typed, and what a group choice (`launch=slurm`) takes from conf/, is not the study's, and
not listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click

from limo_ablate.core.artifacts import digest_file, files_of
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import flat, format_override, parse_overrides
from limo_ablate.core.remote.object_store import is_url
from limo_ablate.data.grade.own_file import file_digest, is_own_file
from limo_ablate.model.train.model_config import may_allow_code, model_code
from limo_ablate.study.axes import Range, settings
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.search.search import Search
from limo_ablate.trial.compose import compose_sections

WATCHED = {
    "data": ("grader", "teacher", "difficulty.reference.python"),
    "eval": ("benchmarks", "python"),
    "hardware": ("hosts", "remote"),
    "launch": ("notify", "options", "ray", "slurm"),
    "model": ("trust_remote_code",),
    "paths": ("artifacts", "umask"),
}
"""Section -> its keys that name what runs, and who may change results."""
NOTHING = ("null", "{}", "[]", "false")
CHOICE = re.compile(r"(?:data|data/teacher|eval|hardware|launch|model|experiment|debug)=\w[\w-]*")
"""The choice of a configuration group by a plain name, which has its values from conf/."""
ELSEWHERE = re.compile(rf"(?!(?:hydra|{'|'.join(WATCHED)})\.)\w+(?:\.\w+)+")
"""A key that changes no watched section, nor where Hydra looks for choices."""
VARIABLE = "LIMO_ABLATE_TRUSTED"
"""Environment variable with digests of trusted lines: jobs may run on machines with another home folder."""


def check_trust(
    name: str,
    trials: Sequence[PlannedTrial],
    searches: Sequence[Search],
    typed: Sequence[str],
    *,
    trust: bool,
) -> None:
    """Raises UserError where the study names what would run, unless the user trusts it, now or earlier.

    `typed`: the user's own overrides; `trust`: whether --trust was given. At a terminal, asks.
    """
    lines = named(trials, searches, typed)
    new = untrusted(lines)
    if new and not trust and not _agrees(name, new):
        raise UserError(
            f"{name}: the study itself names what would run: {'; '.join(new)}; if you trust that, run the "
            "same command once with --trust (docs/security.md)"
        )
    remember(lines)
    may_allow_code()


def untrusted(lines: Sequence[str]) -> list[str]:
    """Those of the lines that the user has not said may run."""
    known = _trusted() if lines else set()
    return [line for line in lines if _digest(line) not in known]


def named(trials: Sequence[PlannedTrial], searches: Sequence[Search], typed: Sequence[str]) -> list[str]:
    """`key=value` of all that would run and that neither the user's overrides nor conf/ name, sorted. Raises
    UserError."""
    of_study = {item for section in _sections(trials, searches) for item in _items(section)}
    if not of_study:
        return []
    overrides = {one.overrides for one in trials} | {one.overrides for one in searches}
    chosen = {tuple(text for text in texts if CHOICE.fullmatch(text)) for texts in overrides}
    own = {item for choices in chosen for item in _own_items(choices, typed)}
    return [f"{key}={_shown(value)}" for key, value in sorted(of_study - own)]


def remember(lines: Sequence[str]) -> None:
    """Trusts these lines from now on: in processes that this one starts, and by the user's own file."""
    if not lines:
        return
    digests, file, known = [_digest(line) for line in lines], _file(), _trusted()
    os.environ[VARIABLE] = " ".join({*digests, *os.environ.get(VARIABLE, "").split()})
    if known.issuperset(digests):
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as opened:
            opened.writelines(f"{digest}\n" for digest in digests if digest not in known)
    except OSError as error:
        print(f"{file}: {error.strerror}: --trust will be asked for again", file=sys.stderr)


def _sections(trials: Sequence[PlannedTrial], searches: Sequence[Search]) -> Iterator[Mapping[str, Any]]:
    """The watched sections of all trials, and of all that searches may propose."""
    distinct = {tuple(id(getattr(trial.config, name)) for name in WATCHED): trial.config for trial in trials}
    for config in distinct.values():
        yield {name: asdict(getattr(config, name)) for name in WATCHED}
    for overrides in {variant: None for search in searches for variant in _variants(search)}:
        sections = compose_sections(overrides, *WATCHED, resolve=False)
        if referring := [(key, value) for key, value in _items(sections) if "${" in value]:
            raise UserError(
                f"{referring[0][0]}={referring[0][1]}: refers to another key, which a search may vary; write "
                "the value itself"
            )
        yield sections


def _variants(search: Search) -> Iterator[tuple[str, ...]]:
    """The overrides of a search that decide watched sections, with each level of each such axis, or both ends
    of its range."""
    fixed = tuple(text for text in search.overrides if not ELSEWHERE.fullmatch(text.partition("=")[0]))
    yield fixed
    for axis, levels in search.space.axes.items():
        ends = (levels.low, levels.high) if isinstance(levels, Range) else levels
        for point in settings(axis, ends):
            chosen = [format_override(k, v) for k, v in point.items() if not ELSEWHERE.fullmatch(k)]
            if chosen:
                yield (*fixed, *chosen)


def _items(sections: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(key, value as text) of all watched keys that are set."""
    watched = {
        name: {key: _at(sections[name], key) for key in names}
        for name, names in WATCHED.items()
        if sections[name]
    }
    if teacher := watched.get("data", {}).get("teacher"):  # of it, where a key is sent, and which
        endpoint = teacher.get("endpoint") or {}
        watched["data"] |= {f"teacher.endpoint.{key}": endpoint.get(key) for key in ("url", "key_env")}
        del watched["data"]["teacher"]
    if not is_url(watched.get("paths", {}).get("artifacts") or ""):
        watched.get("paths", {}).pop("artifacts", None)
    if watched.get("model", {}).get("trust_remote_code"):
        model = sections["model"]
        path, code = model.get("path"), model_code(model.get("path"))
        which = f"code {code}" if code else f"revision {model.get('revision')}"
        watched["model"] = {"trust_remote_code": f"true for {path}, {which}"}
    for name, own in _code_files(sections).items():
        watched[name] = watched.get(name, {}) | own
    return {item for item in flat(watched).items() if item[1] not in NOTHING}


def _code_files(sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What of `data` and `eval` would run: graders in files of the project and lm-eval's task files, with the
    files' digests."""
    benchmarks = (sections["eval"] or {}).get("benchmarks") or {}
    each = {
        name: {"grader": _own_grader(one.get("grader")), "path": _task_files(one)}
        for name, one in benchmarks.items()
    }
    data = sections["data"] or {}
    pool = {"grader": _own_grader(data.get("grader"))}
    pool |= {"teacher.grader": _own_grader((data.get("teacher") or {}).get("grader"))}
    return {"data": pool, "eval": {"benchmarks": each}}


def _own_grader(name: Any) -> str | None:
    return f"{name}, file {file_digest(name)[:16]}" if is_own_file(name) else None


def _at(section: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None where a part of it is missing."""
    for part in key.split("."):
        section = (section or {}).get(part)  # type: ignore[assignment]
    return section


def _task_files(benchmark: Mapping[str, Any]) -> str | None:
    path = benchmark.get("path")
    if benchmark.get("source") != "lm_eval" or not path:
        return None
    digests = [f"{file}:{digest_file(file)}" for file in files_of(Path(path))]
    return f"{path}, tasks {hashlib.sha256(chr(10).join(digests).encode()).hexdigest()[:16]}"


def _own_items(choices: Sequence[str], typed: Sequence[str]) -> set[tuple[str, str]]:
    """What group choices and the user's overrides give without the study."""
    own = [one for one in parse_overrides(typed) if re.split(r"[.=/@]", one.key.lstrip("+~"))[0] in WATCHED]
    found = set()
    for values in product(*([format_override(one.key, value) for value in one.values] for one in own)):
        try:
            found |= _items(compose_sections((*choices, *values), *WATCHED))
        except UserError:  # they need the study's: nothing of them is the user's alone
            continue
    return found


def _shown(value: str) -> str:
    """On one line, without characters that a terminal would obey."""
    return value if value.isprintable() else json.dumps(value)


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _file() -> Path:
    """In the user's configuration folder; a relative XDG_CONFIG_HOME does not count, by its specification."""
    chosen = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = chosen if chosen.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise UserError("there is no home folder to remember what is trusted; set XDG_CONFIG_HOME") from error
    return folder / "limo-ablate" / "trusted"


def _trusted() -> set[str]:
    """The digests of all trusted lines."""
    file = _file()
    kept = file.read_text().split() if file.is_file() else []
    return {*kept, *os.environ.get(VARIABLE, "").split()}


def _agrees(name: str, lines: Sequence[str]) -> bool:
    """Asks at a terminal; False elsewhere."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    listed = "".join(f"  {line}\n" for line in lines)
    click.echo(f"{name}: the study itself names what would run:\n{listed}", err=True, nl=False)
    return click.confirm("Do you trust it?", err=True)
