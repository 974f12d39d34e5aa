"""Values that a release is given: files with NAME=value a line, and NAME=value on the command line, which wins.

UPPER_CASE names are a task definition's variables, CamelCase ones a stack's parameters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worker.errors import Faults


class Given(NamedTuple):
    """What the files say, for all jobs, and what was said for this one alone."""

    common: dict[str, str]
    own: dict[str, str]

    def every(self) -> dict[str, str]:
        """Give all of it."""
        return self.common | self.own


def read(arguments: Sequence[str]) -> Given:
    """Read the arguments: one without `=` is a file. Raises Faults."""
    found, faults = Given({}, {}), list[str]()
    for argument in arguments:
        if "=" in argument:
            found.own.update([_pair(argument)])
        else:
            faults += _read_file(Path(argument), found.common)
    if faults:
        raise Faults(faults)
    return found


def _read_file(path: Path, into: dict[str, str]) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    wrong = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if "=" in line:
            into.update([_pair(line)])
        else:
            wrong.append(f"{path}:{number}: {line!r} is not NAME=value")
    return wrong


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip()
