"""Files that are whole at any time."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file's content; others read the old or the new one, also after a power cut."""
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
