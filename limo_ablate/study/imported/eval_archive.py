"""Members of a .eval file: a zip archive whose members are packed by Zstandard, which `zipfile` can't."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from limo_ablate.core.errors import UserError

ZSTANDARD = 93
LOCAL_HEADER = 30
"""Bytes before a member's name; the lengths of name and extra field are its last four."""
LARGEST = 64 << 20
"""Bytes of a member, unpacked."""
MOST = 1 << 30
"""Bytes of all members, unpacked."""


def archive_members(file: Path, wanted: Callable[[str], bool]) -> Iterator[bytes]:
    """The content of each member whose name is wanted, in the archive's order. Raises UserError."""
    total = 0
    try:
        with zipfile.ZipFile(file) as archive, file.open("rb") as raw:
            for member in archive.infolist():
                if wanted(member.filename):
                    if member.compress_type == ZSTANDARD:
                        content = _unpacked(raw, member)
                    else:
                        with archive.open(member) as stream:
                            content = stream.read(LARGEST + 1)
                    if len(content) > LARGEST:
                        raise UserError(f"{file}: {member.filename} has more than {LARGEST >> 20} MiB")
                    if (total := total + len(content)) > MOST:
                        raise UserError(f"{file}: its samples have more than {MOST >> 20} MiB")
                    yield content
    except (
        zipfile.BadZipFile,
        OSError,
        struct.error,
        NotImplementedError,
    ) as error:
        # NotImplementedError: packed by a method that zipfile lacks
        raise UserError(f"{file}: can't be read: {error}") from error


def _unpacked(raw: IO[bytes], member: zipfile.ZipInfo) -> bytes:
    import pyarrow as pa

    raw.seek(member.header_offset)
    header = raw.read(LOCAL_HEADER)
    name, extra = struct.unpack("<HH", header[-4:])
    raw.seek(name + extra, 1)
    packed = raw.read(min(member.compress_size, LARGEST))
    with pa.input_stream(pa.BufferReader(packed), compression="zstd") as stream:
        return bytes(stream.read(LARGEST + 1))
