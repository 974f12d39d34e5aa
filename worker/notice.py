"""What somebody must hear of a job that no attempt could say: a task that died, a run that did not come."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, for every channel: what happened, what is safe, what to do."""

    job: str
    kind: str
    """Its verdict in a word or two: `out of memory`, `late`."""
    sign: str
    """The emoji that it is seen by."""
    said: tuple[str, ...]
    """Sentences: what happened, what is safe, what follows."""
    facts: Mapping[str, str] = field(default_factory=dict)
    next_command: str
    links: Mapping[str, str] = field(default_factory=dict)
    origin: str
    """Which run, attempt, task."""

    @property
    def headline(self) -> str:
        """Say it in one line."""
        return f"{self.job}: {self.kind}"

    @property
    def text(self) -> str:
        """Say all of it in plain lines, for mail and logs."""
        facts = [f"{name}: {value}" for name, value in self.facts.items()]
        links = [f"{name}: {url}" for name, url in self.links.items()]
        return "\n".join([self.headline, *self.said, *facts, f"Next: {self.next_command}", *links, self.origin])
