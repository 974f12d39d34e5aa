"""Which errors are worth another try, and how long to wait before it."""

import random
from dataclasses import dataclass

from worker.errors import Permanent, Transient


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a record up to `attempts` times, waiting between `first` and `longest` seconds.

    The wait doubles with each try and is drawn at random between 0 and that bound ("full jitter": AWS Architecture Blog,
    Exponential Backoff And Jitter). `on` names further exception types that are worth another try.
    """

    attempts: int = 4
    first: float = 0.5
    longest: float = 20.0
    on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.first <= self.longest:
            raise ValueError(f"a retry is one try or more, and waits from 0 <= first <= longest seconds: {self}")

    def worth_it(self, error: BaseException) -> bool:
        """Tell whether another try could end otherwise."""
        if isinstance(error, Permanent):
            return False
        return isinstance(error, (Transient, TimeoutError, ConnectionError, *self.on))

    def delay(self, tries: int) -> float:
        """Give the seconds to wait after that many tries."""
        return random.uniform(0, min(self.longest, self.first * 2.0 ** min(tries - 1, 60)))  # noqa: S311 - jitter, not a secret
