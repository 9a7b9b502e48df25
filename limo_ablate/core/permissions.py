"""Stores and studies of several users: files that the group may write, and a clear line where it may not."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from limo_ablate.core.errors import UserError


def use_umask(umask: str | None) -> None:
    """Sets the umask of this process, and of those that it starts, to `paths.umask`; None: as it is."""
    if umask is not None:
        os.umask(int(umask, 8))


def check_writable(folder: Path, key: str) -> None:
    """Raises UserError where nothing can be created in `folder`.

    One that does not exist is judged by the folder that it would be created in.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        raise denied(place, f"{key}={folder}")


def is_of_others(path: Path) -> bool:
    """Whether another user owns what is there."""
    return path.exists() and path.stat().st_uid != os.getuid()


def denied(path: Path, what: str) -> UserError:
    """The error for a file or folder that this user may not write."""
    about = path.stat()
    owner, group = _name(about.st_uid, pwd.getpwuid), _name(about.st_gid, grp.getgrgid)
    return UserError(
        f"{what}: you may not write to {path} (of user {owner}, group {group}, "
        f"{stat.filemode(about.st_mode)}); use a folder of your own, or share this one: all its users set "
        "paths.umask='002', and its owner runs chmod -R g+rwXs once (docs/sweeps.md)"
    )


def _name(number: int, find: object) -> str:
    try:
        found: str = find(number)[0]  # type: ignore[operator]
    except KeyError:
        return str(number)
    return found
