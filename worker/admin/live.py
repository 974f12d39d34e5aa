"""What a run's process says of itself while it works: its limits, its progress now and over time, its errors by group."""

import time
from typing import Any

import msgspec

_MOST_GROUPS = 50
_MOST_POINTS = 300


class Line(msgspec.Struct):
    """What is looked at in a log line: how far the attempt is, a failure, how it ended, or why it did not begin."""

    event: str = ""
    verdict: str = ""
    detail: str = ""
    faults: list[str] = []
    elapsed_s: float | None = None
    in_flight: int | None = None
    rate: float = 0.0
    eta_s: float | None = None
    total: int | None = None
    limited_by: str = ""
    last_error: str | None = None
    stopping: str | None = None
    tally: dict[str, Any] = {}
    limits: dict[str, Any] | None = None
    error_fingerprint: str = ""
    error_type: str = ""
    error_message: str = ""
    error_sample_key: str = ""
    error_count: int = 0

    @property
    def is_progress(self) -> bool:
        """Tell whether it says how far the attempt is."""
        return self.elapsed_s is not None and self.in_flight is not None


class Live:
    """The last of what was said; of the progress all, thinned out."""

    def __init__(self) -> None:
        self.limits: dict[str, Any] | None = None
        """The attempt's limits, as the environment has changed them; None while nothing was said."""
        self.series: list[dict[str, float]] = []
        """How far it was at what time (seconds since 1970): its rate then, its failed records so far."""
        self._progress: Line | None = None
        self._groups: dict[str, dict[str, Any]] = {}

    def hear(self, line: Line) -> None:
        """Note a line."""
        self.limits = line.limits or self.limits
        if line.is_progress:
            self._progress = line
            self.series.append({"at": time.time(), "rate": line.rate, "failed": line.tally.get("failed", 0)})
            if len(self.series) > _MOST_POINTS:
                del self.series[1::2]
        elif line.error_fingerprint and (line.error_fingerprint in self._groups or len(self._groups) < _MOST_GROUPS):
            self._groups[line.error_fingerprint] = {
                "type": line.error_type,
                "message": line.error_message,
                "count": line.error_count,
                "sample_key": line.error_sample_key,
            }

    @property
    def progress(self) -> dict[str, Any] | None:
        """Give how far it is; None while nothing was said."""
        if self._progress is None:
            return None
        names = ("elapsed_s", "rate", "eta_s", "total", "limited_by", "in_flight", "last_error", "stopping", "tally")
        return {name: getattr(self._progress, name) for name in names}

    @property
    def errors(self) -> list[dict[str, Any]]:
        """List the groups, largest first; each count is as it was said last: at powers of ten."""
        return sorted(self._groups.values(), key=lambda group: -group["count"])
