"""`registration.json` in a study's folder: what was registered, with a hash of its content.

Earlier registrations are kept beside it as `registration.N.json`; each lists the hashes of those before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json
from limo_ablate.core.typed import from_dict
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.folder import REGISTRATION

FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTrial:
    """A planned trial as it was registered. The field names are those of registration.json."""

    name: str
    seed: int
    blocks: tuple[str, ...]
    asked: dict[str, Any]
    """Overrides, key -> value."""
    selection: str | None
    """Digest of the selection it trains on; null for the untuned base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The content of registration.json."""

    format: int
    time: str
    """UTC, ISO 8601."""
    study: str
    git: dict[str, Any]
    """commit, dirty; null if the code is not in a repository."""
    code: str
    """Digest of the code, see `code.code_digest`."""
    versions: dict[str, str | None]
    design: dict[str, Any]
    """The study as declared: question, overrides, seeds, blocks."""
    cells: dict[str, RegisteredTrial]
    """Key -> planned trial. Trials that a search will propose are not known yet."""
    benchmarks: dict[str, tuple[str, ...]]
    """Benchmark -> digests of its problems; several where trials differ in it."""
    pools: dict[str, str]
    """Block with a search -> digest of its pool; not for a search over the data."""
    contrasts: tuple[Contrast, ...]
    alpha: float
    analysis: int
    """Version of the analysis code: `analysis.ANALYSIS`."""
    cluster: str | None
    """What problems are clustered by: `Study.cluster`."""
    finished: dict[str, int]
    """Block -> number of its trials that already had a result."""
    former: tuple[str, ...] = ()
    """Hashes of the registrations that this one replaces, oldest first."""

    hash: str = ""
    """Hash of all other fields, see `content_hash`."""

    @property
    def primary(self) -> tuple[Contrast, ...]:
        return tuple(contrast for contrast in self.contrasts if contrast.primary)

    @property
    def analysis_settings(self) -> dict[str, Any]:
        """The registered counterpart of `current_trials.analysis_settings`."""
        return {"alpha": self.alpha, "analysis": self.analysis, "cluster": self.cluster}


@dataclass(frozen=True, slots=True)
class Chain:
    """The registrations of a study, oldest first."""

    registrations: tuple[Registration, ...]
    broken: str | None = None
    """Why they can't be trusted; None if every hash matches its content."""

    @property
    def last(self) -> Registration:
        return self.registrations[-1]


def with_hash(registration: Registration) -> Registration:
    """The registration with its hash filled in."""
    return replace(registration, hash=content_hash(json.loads(json.dumps(asdict(registration)))))


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 of the content as canonical JSON: without the hash itself, keys sorted, no white space."""
    rest = {key: value for key, value in content.items() if key != "hash"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: Path) -> Chain | None:
    """The registrations of the study in `folder`; None if there are none. Raises UserError for a bad file."""
    if not (folder / REGISTRATION).exists():
        return None
    last, actual = _load(folder / REGISTRATION)
    earlier, broken = [], _hash_mismatch(folder / REGISTRATION, last.hash, actual)
    for number, expected in enumerate(last.former, start=1):
        path = _former(folder, number)
        if not path.exists():
            broken = broken or f"{path} is missing: an earlier registration that {REGISTRATION} replaces"
            continue
        link, actual = _load(path)
        broken = broken or _hash_mismatch(path, expected, actual)
        earlier.append(link)
    return Chain((*earlier, last), broken)


def write(folder: Path, registration: Registration) -> None:
    """Writes the registration; keeps the previous one as `registration.N.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    if registration.former:
        (folder / REGISTRATION).replace(_former(folder, len(registration.former)))
    text = json.dumps(asdict(registration), indent=1, ensure_ascii=False)
    write_atomically(folder / REGISTRATION, f"{text}\n")


def _former(folder: Path, number: int) -> Path:
    return folder / f"registration.{number}.json"


def _load(path: Path) -> tuple[Registration, str]:
    """The registration, and the hash of the file's actual content."""
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise UserError(f"{path}: format={content.get('format')}: this version of limo-ablate reads {FORMAT}")
    return from_dict(Registration, content, path.name), content_hash(content)


def _hash_mismatch(path: Path, expected: str, actual: str) -> str | None:
    if actual == expected:
        return None
    return (
        f"{path} HAS BEEN CHANGED since it was registered: expected hash {expected[:12]}, "
        f"actual hash {actual[:12]}"
    )
