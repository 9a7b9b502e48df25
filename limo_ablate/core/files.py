"""Files that are whole at any time, and files of others that lead nowhere else.

A study's folder may come from somebody else. Nothing is written or read through a link that leads out of it:
`check_links` refuses such a folder when it is opened, and what is opened later follows no link.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from limo_ablate.core.errors import UserError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces the file's content; others read the old or the new one, also after a power cut.

    A link at this place is replaced, too.
    """
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
    with partial.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def open_plain(path: Path, mode: str = "rb") -> IO[Any]:
    """Opens a file as `open` does. Raises UserError where it is a link, a pipe or a device."""
    return open(path, mode, opener=_plain)


def _plain(path: str, flags: int) -> int:
    if Path(path).is_symlink():  # O_NOFOLLOW's own error does not say so
        raise UserError(f"{path}: a link, where a file belongs; remove it")
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: a folder, a pipe or a device, where a file belongs; remove it")
    return descriptor


def check_links(folder: Path) -> None:
    """Raises UserError for a link in `folder` that leads out of it, and for a pipe, a socket or a device.

    A folder that does not exist has none.
    """
    root = Path(os.path.realpath(folder))  # Path.resolve raises for a loop
    waiting = [str(root)]
    while waiting:
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:  # a sweep may be at work
            for entry in entries:
                if entry.is_symlink():
                    if not (target := Path(os.path.realpath(entry.path))).is_relative_to(root):
                        raise UserError(
                            f"{entry.path}: a link out of {folder}, to {target}; such a folder is neither "
                            "read nor written: remove the link, or put a copy of its target there"
                        )
                elif entry.is_dir(follow_symlinks=False):
                    if not _is_wandbs_logs(Path(entry.path)):
                        waiting.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise UserError(f"{entry.path}: a pipe, a socket or a device; remove it")


def _is_wandbs_logs(folder: Path) -> bool:
    """Whether W&B keeps a run's logs there, among them a link to one in its cache: nobody opens them."""
    run = folder.parent
    return folder.name == "logs" and "run-" in run.name and run.parent.name == "wandb"


def is_plain_name(name: object) -> bool:
    """Whether it is the name of a file or folder, and no path that leads elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\0"} & set(name)
