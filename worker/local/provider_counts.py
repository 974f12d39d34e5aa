"""Count what arrives at the provider, exactly and in bounded memory."""

from collections import deque

_RECENT = 50_000
_REFS = 20_000


class Window:
    """Count what happened in the second before each moment: the window is (now - 1 s, now]."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.most = 0

    def count(self, now: float) -> int:
        """Count what happened in the second that ends now."""
        times = self._times
        start = now - 1.0
        while times and times[0] <= start:
            times.popleft()
        return len(times)

    def add(self, now: float) -> None:
        """Note that something happens now."""
        self._times.append(now)
        self.most = max(self.most, self.count(now))

    def free_in(self, now: float, rate: int) -> float:
        """Say in how many seconds the window holds fewer than `rate` again."""
        count = self.count(now)
        return 0.0 if count < rate else self._times[count - rate] + 1.0 - now


class Arrivals:
    """Keep when requests arrived, in seconds of the monotonic clock: all of the last second, and the most recent ones."""

    def __init__(self) -> None:
        self._window = Window()
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.total = 0

    @property
    def most_in_a_second(self) -> int:
        """Give the largest number of arrivals that any window of one second has held."""
        return self._window.most

    def add(self, now: float) -> None:
        """Note an arrival."""
        self._window.add(now)
        self.recent.append(now)
        self.total += 1


class Calls:
    """Count calls by reference; of more references than fit, those asked longest ago are forgotten."""

    def __init__(self, refs: int = _REFS) -> None:
        self._refs = refs
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def add(self, ref: str) -> int:
        """Count one more call and say how many there are."""
        count = self.of(ref) + 1
        if len(self._young) >= self._refs and ref not in self._young:
            self._old, self._young = self._young, {}
        self._young[ref] = count
        return count

    def of(self, ref: str) -> int:
        """Say how often a reference was asked."""
        return self._young.get(ref) or self._old.get(ref, 0)
