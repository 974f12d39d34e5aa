"""What starts a job beside its schedule: an object in S3, or a queue's backlog."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCreated:
    """A run for each object that S3 is given under a prefix; the scope's fields of these names are filled."""

    prefix: str = ""
    suffix: str = ""
    bucket: str = "bucket"
    key: str = "key"
    version: str | None = "version"
    """None: the scope has no such field, and the object is read as it is by then."""

    def takes(self, key: str) -> bool:
        """Tell whether an object starts a run; one that ends in a slash is a folder, as consoles make them."""
        return key.startswith(self.prefix) and key.endswith(self.suffix) and not key.endswith("/")

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the scope's fields that are filled."""
        return tuple(name for name in (self.bucket, self.key, self.version) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """As many tasks as a queue's backlog needs: one for every `per_task` messages, `max_tasks` of the job at most.

    `queue` names the variable of the task definition that has the queue's URL, `field` the scope's field that numbers the tasks.
    """

    queue: str
    per_task: int
    field: str = "part"

    def __post_init__(self) -> None:
        if self.per_task < 1:
            raise ValueError(f"per_task must be 1 or more, not {self.per_task!r}")
