"""Tell people and monitors what the functions that watch have found, each of it once."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from worker.aws.alerts import Alerts
from worker.environment import Settings
from worker.events import Reporter, Reporters
from worker.marks import Marks
from worker.mask import Mask
from worker.notice import Notice
from worker.report import datadog_series, emf
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter
from worker.report.metrics import Metric
from worker.report.notice_message import notice_message
from worker.report.slack import deliver, poster, slack_reporter

_log = logging.getLogger("worker.watch")
_metrics = logging.getLogger("worker.metrics")
_SLACK_S = 15.0


@dataclass(frozen=True, slots=True)
class Teller:
    """The channels that the environment names; Slack or Datadog being down costs a bounded time and a log line."""

    found: Settings
    marks: Marks
    mask: Mask

    async def alert(self, notice: Notice, key: str) -> None:
        """Publish to SNS, at least once: it is marked as said when it is. Raises where SNS did not take it."""
        if not self.found.alerts_topic:
            _log.warning("ALERTS_TOPIC is not set: nobody is alerted of %s", notice.headline)
        elif not await self._said(f"sns/{key}", notice.kind):
            await Alerts(self.found.alerts_topic, self.mask).publish(notice)
            await self._mark(f"sns/{key}", notice.kind)

    async def post(self, notice: Notice, key: str) -> None:
        """Post to Slack, at most once a key, whatever is known by then: it is marked as said before it is. Raises where it cannot be marked."""
        post = poster(self.found)
        if post is not None and await self.marks.mark(f"slack/{key}"):
            await deliver(post, notice_message(notice, self.mask), _SLACK_S, self.mask)

    async def count(self, metric: Metric, tags: Mapping[str, str], name: str, at: datetime) -> None:
        """Count it in Datadog; the same thing twice counts once there."""
        point = datadog_series.point(metric, {**tags, "env": self.found.dd_env or ""}, name, at)
        try:
            await datadog_series.submit(self.found, [point])
        except OSError as error:
            _log.warning("Datadog did not take %s: %s", metric.name, self.mask(str(error)))

    def of_runs(self) -> Reporter:
        """Give what reports a whole run's end, as its worker would have."""
        chosen = (LogReporter(), EmfReporter(self.found.dd_env), slack_reporter(self.found, self.mask))
        return Reporters([one for one in chosen if one is not None], _log)

    def note(self, name: str, job: str, **further: str) -> None:
        """Count it in CloudWatch, by a line of the log."""
        _metrics.info("metrics", extra=emf.counted(name, job, **further))

    async def _said(self, key: str, value: str) -> bool:
        """Look for a mark; where the run store cannot tell, an alert too many is better than none."""
        try:
            mark = await self.marks.marked(key)
        except Exception as error:  # noqa: BLE001 - whatever keeps the store from answering must not keep the alert back
            _log.warning("the run store does not tell whether %s was said: %s", key, self.mask(str(error)))
            return False
        return mark is not None and mark.value == value

    async def _mark(self, key: str, value: str) -> None:
        try:
            await self.marks.mark(key, value)
        except Exception as error:  # noqa: BLE001 - it is said; that it may be said again is the smaller harm
            _log.warning("the run store does not keep that %s was said: %s", key, self.mask(str(error)))


@dataclass(slots=True)
class Troubles:
    """What went wrong on the way: the steps after it are taken all the same, and the event is not lost."""

    mask: Mask
    said: list[str] = field(default_factory=list)

    @contextmanager
    def kept(self, step: str) -> Iterator[None]:
        """Keep what this step raises for the end."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever breaks here, the other channels must still hear of the event
            self.said.append(self.mask(f"{step}: {error or type(error).__name__}"))
            _log.warning("%s", self.said[-1], exc_info=error)

    def raise_all(self) -> None:
        """Raise what is left undone, so that Lambda tries the event again and keeps it in its dead letters at last."""
        if self.said:
            raise RuntimeError("; ".join(self.said))
