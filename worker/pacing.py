"""What a rate limit asks before it gives a permit: is there room in the window, and is it time."""

from bisect import insort
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import TypeAlias

Taken: TypeAlias = tuple[float, float]
"""When, at the latest, and how many permits."""


class Window:
    """At most `count` in any window; all that is taken within a grain counts as taken at its end."""

    def __init__(self, count: int, length: float, grain: float) -> None:
        self.count, self._length, self._grain = count, length, grain
        self._grains: deque[tuple[float, float]] = deque()  # of the last window: when it ends, how many
        self._taken = 0.0

    def stretch(self, factor: float) -> None:
        """Go on with windows longer by that factor."""
        self._length *= factor

    def due(self, now: float) -> float:
        """Count what may be taken."""
        while self._grains and self._grains[0][0] <= now - self._length:
            self._taken -= self._grains.popleft()[1]
        return self.count - self._taken

    def empty(self, now: float) -> bool:
        """Tell whether nothing that was taken is remembered."""
        return self.due(now) == self.count

    def next(self) -> float:
        """Give the moment from which something may be taken."""
        if self._taken < self.count:
            return -inf
        return self._grains[0][0] + self._length if self.count > 0 and self._grains else inf

    def take(self, permits: float, now: float) -> None:
        """Note that so many are taken."""
        end = (now // self._grain + 1.0) * self._grain
        self._taken += permits
        if self._grains and self._grains[-1][0] == end:
            permits += self._grains.pop()[1]
        if self._grains and self._grains[-1][0] > end:  # what others have taken, and may still be on its way
            insort(self._grains, (end, permits))
        else:
            self._grains.append((end, permits))

    def part(self, count: int, now: float) -> list[Taken]:
        """Go down to `count`; give, evenly, of what was taken that share which goes with what is given up."""
        self.due(now)
        given_up, whole, seen, parted = self.count - count, max(1, self.count), 0.0, 0.0
        self.count, grains, self._grains, given = count, self._grains, deque(), []
        for end, permits in grains:
            seen += permits
            part = min(permits, -(-seen * given_up // whole) - parted)
            parted += part
            given += [(end, part)] if part else []
            if permits > part:
                self._grains.append((end, permits - part))
        self._taken -= parted
        return given

    def join(self, count: int, taken: Iterable[Taken]) -> None:
        """Go on with `count`, and with what others have taken of it."""
        self.count = count
        for each in taken:
            insort(self._grains, each)
            self._taken += each[1]


class Pace:
    """One after the other at even spacing; what was not taken in time may be taken at once, if it is no later than `late`."""

    def __init__(self, interval: float, late: float) -> None:
        self.interval, self._late = interval, late
        self.next = -inf

    def hasten(self, interval: float, now: float) -> None:
        """Go on at another spacing; nothing that is due waits longer than that."""
        self.interval = interval
        self.next = min(self.next, now + interval)

    def forgo(self, before: float) -> None:
        """Let go of what fell due before that."""
        self.next = max(self.next, before)

    def due(self, now: float) -> float:
        """Count what may be taken."""
        return 0.0 if now < self.next else (now - max(self.next, now - self._late)) // self.interval + 1.0

    def take(self, permits: float, now: float) -> None:
        """Note that so many are taken."""
        self.next = max(self.next, now - self._late) + permits * self.interval
