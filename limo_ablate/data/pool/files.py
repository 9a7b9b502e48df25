"""Which files a path stands for, and their bytes: compressed, in any encoding.

A path is a file, a folder (all its files of a known format) or a pattern (`shards/*.jsonl.gz`). What is
unpacked is read in pieces, so that a small file that stands for terabytes fills neither memory nor disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import lzma
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from limo_ablate.core.artifacts import files_of
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import is_plain_name

logger = logging.getLogger(__name__)

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
SPLITS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation",
          "val": "validation", "dev": "validation"}  # fmt: skip
SPLIT = re.compile(rf"({'|'.join(SPLITS)})(?![a-zA-Z])")
PACKED = (".gz", ".xz", ".bz2", ".zst")
BESIDE = ("dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json")
"""Files that `datasets` writes beside a data set."""
SAMPLE = 2**20
"""Bytes by which the encoding is recognised."""
MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
NO_TEXT = {
    b"\x1f\x8b": "packed by gzip: name it .gz",
    b"\x28\xb5\x2f\xfd": "packed by zstd: name it .zst",
    b"\xfd7zXZ": "packed by xz: name it .xz",
    b"BZh": "packed by bzip2: name it .bz2",
    b"PK\x03\x04": "a ZIP archive (or Excel's .xlsx): unpack it, or save it as CSV",
    b"PAR1": "parquet: name it .parquet",
    b"version https://git-lfs": "Git LFS's pointer to the file, not the file: `git lfs pull` fetches it",
    b"<!DOCTYPE": "a web page, not the file",
    b"<html": "a web page, not the file",
}
"""How a file begins that is not what its name says -> what it is."""
UTF_16 = 0.7
"""Share of NUL bytes that UTF-16 has at most; a file that was not written to its end may have more."""
WESTERN = "cp1252"
GUESSED = (WESTERN, "cp1251", "cp1250", "cp932", "gb18030", "euc_kr", "cp1256", "cp1253", "cp1254", "cp1255")
"""Encodings that files without a mark may have, if they are not UTF-8: those of Windows and East
Asia; of equally likely ones, the Western European one."""


def format_of(file: Path) -> str:
    """The ending that says how to read a file, without that of its compression; empty if it is not known."""
    name = file.with_suffix("") if file.suffix in PACKED else file
    packs_itself = name.suffix in (".parquet", ".arrow") and name is not file
    return name.suffix if name.suffix in FORMATS and not packs_itself else ""


def readable_files(path: str, split: str) -> list[Path]:
    """The files that hold the rows of a path, in order. Raises UserError where there are none."""
    place = Path(path)
    if place.is_dir():
        return _in_folder(place, split)
    found = files_of(place)
    if not found:
        where = "" if place.is_absolute() else f" (looked in {Path.cwd()})"
        raise UserError(f"no such file: {path}{where}")
    for file in found:
        if not format_of(file):
            kind = f"{''.join(file.suffixes[-2:])} files" if file.suffix else "a file without an extension"
            raise UserError(
                f"{file}: can't read {kind}; use one of {', '.join(FORMATS)}, all but the "
                f"last two also packed ({', '.join(PACKED)})"
            )
    return found


def _in_folder(folder: Path, split: str) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        if not is_plain_name(split) or not (folder / split).is_dir():
            names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
            raise UserError(f"{folder} has no split {split}; set split to one of {', '.join(names)}")
        folder = folder / split
    if (folder / "state.json").is_file():
        return _saved_to_disk(folder)
    files = [file for file in files_of(folder) if not any(p.startswith(".") for p in file.parts[-2:])]
    found = [file for file in files if format_of(file) and file.name not in BESIDE]
    if not found:
        raise UserError(f"{folder} has no file that can be read: {', '.join(FORMATS)} ({', '.join(PACKED)})")
    if broken := next((f for f in folder.rglob("*") if format_of(f) and not f.exists()), None):
        raise UserError(f"{broken}: a link to a file that is not there")
    splits = sorted(filter(None, {_split_of(file.relative_to(folder)) for file in found}))
    if len(splits) > 1:
        raise UserError(
            f"{folder} has files of the splits {', '.join(splits)}; name those meant, as in "
            f"{folder}/**/{splits[-1]}*"
        )
    kinds = sorted({format_of(file) for file in found})
    if len(kinds) > 1:
        raise UserError(f"{folder} has {' and '.join(kinds)} files; name those meant: {folder}/*{kinds[0]}")
    if len(found) < len(files):
        logger.info("%s: %d files of other kinds are not read", folder, len(files) - len(found))
    return found


def _split_of(file: Path) -> str | None:
    """The split that the name of a file or folder begins with; `valid` is `validation`, `dev` too."""
    found = [match for part in file.parts if (match := SPLIT.match(part))]
    return SPLITS[found[-1][1]] if found else None


def _saved_to_disk(folder: Path) -> list[Path]:
    """The files of a data set that `datasets` saved, in its order."""
    try:
        entries = json.loads((folder / "state.json").read_text())["_data_files"]
        names = [entry["filename"] for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'state.json'}: not as `save_to_disk` writes it") from error
    if missing := [name for name in names if not is_plain_name(name) or not (folder / name).is_file()]:
        raise UserError(f"{folder}: {missing[0]}, which state.json names, is not there")
    return [folder / name for name in names]


@contextmanager
def unpacked(file: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked while they are read. Raises UserError for what can't be unpacked."""
    try:
        with _opened(file) as stream:
            yield stream
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: can't be unpacked: {error}") from error
    except OSError as error:
        raise UserError(f"{file}: can't be read: {error.strerror or error}") from error


def _opened(file: Path) -> IO[bytes]:
    if file.suffix == ".zst":
        import pyarrow as pa

        packed = pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")
        return cast("IO[bytes]", io.BufferedReader(packed))
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    return cast("IO[bytes]", openers.get(file.suffix, open)(file, "rb"))


def _check_text(file: Path, sample: bytes) -> None:
    """Raises UserError for what can't be text."""
    for sign, what in NO_TEXT.items():
        if sample[:100].lstrip().lower().startswith(sign.lower()):
            raise UserError(f"{file}: is {what}")
    if 0.1 < sample.count(0) / max(1, len(sample)) < UTF_16:
        raise UserError(
            f"{file}: has NUL bytes, as UTF-16 without a mark: set its `encoding` (utf-16-le, utf-16-be)"
        )


def _is_mostly_utf8(sample: bytes) -> bool:
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) >= 2 * wrong


def encoding_of(file: Path, given: str | None) -> str:
    """The encoding of a text file: as configured, by its mark, UTF-8, else the likeliest, which is told."""
    if given:
        return given
    with unpacked(file) as stream:
        sample = stream.read(SAMPLE)
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    _check_text(file, sample)
    try:
        sample.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        if error.end == len(sample) and error.reason == "unexpected end of data":
            return "utf-8"  # the sample ends within a character
    if _is_mostly_utf8(sample):
        return "utf-8"  # rows that are not are told one by one
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=list(GUESSED)))
    if not matches:
        raise UserError(f"{file}: not UTF-8, and no other encoding is recognised; set its `encoding`")
    least = min(match.chaos for match in matches)
    equal = [match for match in matches if match.chaos == least]
    western = any(WESTERN in match.could_be_from_charset for match in equal)
    likeliest = WESTERN if western else max(equal, key=lambda match: match.coherence).encoding
    logger.warning(
        "%s: not UTF-8; read as %s, by its characters: set its `encoding` if that is wrong", file, likeliest
    )
    return likeliest
