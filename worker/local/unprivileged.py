"""Find the user that PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

from worker.errors import Faults

_CANDIDATES = ("postgres", "nobody")


class Account(NamedTuple):
    """A user to run as."""

    name: str
    uid: int
    gid: int


def account() -> Account | None:
    """Choose the user: None for the one that we are, unless that is root. Raises Faults where there is no other."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _CANDIDATES:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise Faults(
        [f"PostgreSQL does not run as root and there is no user {' or '.join(_CANDIDATES)}: run as an ordinary user"]
    )


def closed_folder(path: Path) -> Path | None:
    """Find the topmost folder on the way to `path` that not every user may enter; None where there is none."""
    return next((parent for parent in reversed(path.resolve().parents) if not parent.stat().st_mode & 0o001), None)


def give(path: Path, owner: Account) -> None:
    """Make a folder and all in it the user's own."""
    for each in (path, *path.rglob("*")):
        os.chown(each, owner.uid, owner.gid, follow_symlinks=False)
