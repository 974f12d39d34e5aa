"""What the doctor says of a fault: where it is, why it matters, how to mend it."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault, in the words that a person reads and the code that a program keeps."""

    code: str
    """Stable: it changes for no wording."""
    job: str = ""
    """Whose it is; empty where it is everybody's."""
    file: str = ""
    path: str = ""
    """Where in the file."""
    what: str
    why: str
    mend: str

    @property
    def place(self) -> str:
        """Give file and path in one."""
        return " · ".join(part for part in (self.file, self.path) if part)

    def __str__(self) -> str:
        return f"{self.path or self.code}: {self.what}; mend: {self.mend}"


class Code(NamedTuple):
    """A kind of fault, and why it matters."""

    name: str
    why: str

    def at(self, path: str, what: str, mend: str) -> Finding:
        """Find it there; whose it is and in which file is said by who asked."""
        return Finding(code=self.name, path=path, what=what, why=self.why, mend=mend)
