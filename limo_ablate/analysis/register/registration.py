"""`registration.json` in a study's folder: what was registered, sealed by a hash of its content.

Earlier registrations stay beside it as `registration.N.json`; each names the hashes of those before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import from_dict
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.folder import REGISTRATION

FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTrial:
    """A trial as it was registered."""

    name: str
    seed: int
    blocks: tuple[str, ...]
    asked: dict[str, Any]
    """Overrides, key -> value."""
    selection: str | None
    """Digest of the rows it trains on; null where nothing is selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The content of registration.json."""

    format: int
    time: str
    """UTC, ISO 8601."""
    study: str
    git: dict[str, Any]
    """commit, dirty; null where the code is in no repository."""
    versions: dict[str, str | None]
    design: dict[str, Any]
    """The study as declared: question, overrides, seeds, blocks."""
    cells: dict[str, RegisteredTrial]
    """By key. Those that a search will propose are not known yet."""
    benchmarks: dict[str, tuple[str, ...]]
    """Digest of each benchmark's problems by its name; several where cells differ in it."""
    pools: dict[str, str]
    """Digest of the pool of each searched block by its name; of none that searches the data."""
    contrasts: tuple[Contrast, ...]
    alpha: float
    analysis: int
    """Version of the analysis code: `effects.ANALYSIS`."""
    cluster: str | None
    """Which problems belong together, as errors are over these: `Study.cluster`."""
    finished: dict[str, int]
    """Block -> its trials that had a result already."""
    former: tuple[str, ...] = ()
    """Hashes of the registrations that this one takes the place of, oldest first."""

    hash: str = ""
    """Of all the rest: see `seal`."""

    @property
    def primary(self) -> tuple[Contrast, ...]:
        return tuple(contrast for contrast in self.contrasts if contrast.primary)

    @property
    def decided(self) -> dict[str, Any]:
        """As `present.analysis` gives it of the study as it is now."""
        return {"alpha": self.alpha, "analysis": self.analysis, "cluster": self.cluster}


@dataclass(frozen=True, slots=True)
class Chain:
    """The registrations of a study, oldest first."""

    links: tuple[Registration, ...]
    broken: str | None = None
    """Why they can't be trusted; null when every hash is that of its content."""

    @property
    def last(self) -> Registration:
        return self.links[-1]


def with_hash(registration: Registration) -> Registration:
    """With its hash."""
    return replace(registration, hash=content_hash(json.loads(json.dumps(asdict(registration)))))


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 over the content as canonical JSON: without its hash, keys sorted, no white space."""
    rest = {key: value for key, value in content.items() if key != "hash"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: Path) -> Chain | None:
    """The registrations of the study in `folder`; None without any. Raises UserError for what is none."""
    if not (folder / REGISTRATION).exists():
        return None
    last, actual = _load(folder / REGISTRATION)
    found, broken = [], _hash_mismatch(folder / REGISTRATION, last.hash, actual)
    for number, expected in enumerate(last.former, start=1):
        path = _former(folder, number)
        if not path.exists():
            broken = (
                broken or f"{path} is gone: an earlier registration that {REGISTRATION} was made in place of"
            )
            continue
        link, actual = _load(path)
        broken = broken or _hash_mismatch(path, expected, actual)
        found.append(link)
    return Chain((*found, last), broken)


def write(folder: Path, registration: Registration) -> None:
    """Writes it, whole; the one that was there stays as `registration.N.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{REGISTRATION}.partial"
    partial.write_text(json.dumps(asdict(registration), indent=1, ensure_ascii=False) + "\n")
    if registration.former:
        (folder / REGISTRATION).replace(_former(folder, len(registration.former)))
    partial.replace(folder / REGISTRATION)


def _former(folder: Path, number: int) -> Path:
    return folder / f"registration.{number}.json"


def _load(path: Path) -> tuple[Registration, str]:
    """The registration, and the hash of what stands in the file."""
    try:
        content = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: no registration, or one that has been changed: {error}") from error
    if content.get("format") != FORMAT:
        raise UserError(f"{path}: format={content.get('format')}: this version of limo-ablate reads {FORMAT}")
    return from_dict(Registration, content, path.name), content_hash(content)


def _hash_mismatch(path: Path, expected: str, actual: str) -> str | None:
    if actual == expected:
        return None
    return (
        f"{path} HAS BEEN CHANGED since it was made: it should hash to {expected[:12]}, and hashes to "
        f"{actual[:12]}"
    )
