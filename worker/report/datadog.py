"""Tell Datadog how the attempt goes: DogStatsD, from the events of the run."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace

from worker.environment import Settings
from worker.events import Commit, Progress, Reporter, Start, Summary
from worker.report import metrics
from worker.report.dogstatsd import Sample, Sender, address
from worker.tally import Tally

_LONGEST_GOODBYE_S = 2.0
"""An agent is next door: one that has not taken the last metrics by then will not."""

_MOST_REASONS = 10


def datadog_reporter(settings: Settings, job: str) -> Reporter | None:
    """Make the reporter that the environment asks for; None, and nothing imported, where it names no agent."""
    to = address(settings)
    return DatadogReporter(Sender(to), settings, job) if to else None


class DatadogReporter(Reporter):
    """Send what `metrics.METRICS` lists. What adds up goes as the difference to what was sent before."""

    def __init__(self, sender: Sender, settings: Settings, job: str) -> None:
        self._sender = sender
        self._settings = settings
        self._job = job
        self._tags: list[str] = []
        self._sent = Progress(elapsed_s=0, tally=Tally())
        self._reasons: set[str] = set()

    def started(self, start: Start) -> None:
        """Count the attempt."""
        self._tags = _common_tags(self._settings, self._job, start)
        self._put([(metrics.STARTED, 1, ())])

    def progress(self, progress: Progress) -> None:
        """Send what was added since the last time, and where it stands."""
        self._put_growth(progress, list(_standing(progress)))
        # Not earlier: importing the client takes a tenth of a second, which the first records should not wait for.
        self._sender.start()

    def committed(self, commit: Commit) -> None:
        """Send a page commit's duration and size; they leave with the next progress."""
        self._put([(metrics.COMMIT_DURATION, commit.duration_s, ()), (metrics.COMMIT_WRITTEN, commit.written, ())])

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Send the end and what is missing to the exact totals, and wait until it is sent, within the budget."""
        self._tags = _common_tags(self._settings, self._job, summary.start)
        tally, verdict = summary.tally, (f"verdict:{_value(summary.verdict.word)}",)
        last = replace(self._sent, tally=tally, throttled_s=summary.throttled_s)
        end: list[Sample] = [(metrics.ENDED, 1, verdict), (metrics.DURATION, summary.duration_s, verdict)]
        if tally.unfinished:
            end.append((metrics.RECORDS, tally.unfinished, ("outcome:unfinished",)))
        end += [(metrics.COUNTER, value, (f"name:{_value(name)}",)) for name, value in summary.counters.items()]
        end.append((metrics.IN_FLIGHT, 0, ()))
        end.append((metrics.RECORD_AGE, summary.oldest_age_s, ()))
        self._put_growth(last, end)
        await asyncio.to_thread(self._sender.finish, min(budget_s, _LONGEST_GOODBYE_S))

    def _put(self, samples: list[Sample]) -> bool:
        return self._sender.put(samples, self._tags)

    def _put_growth(self, now: Progress, more: list[Sample]) -> None:
        """Send differences; a batch that found no room is made up for by the next one."""
        if self._put([*self._growth(now), *more]):
            self._sent = replace(now, tally=now.tally.copy())

    def _growth(self, now: Progress) -> Iterator[Sample]:
        new, old = now.tally, self._sent.tally
        outcomes = [
            (new.done - old.done, ("outcome:done",)),
            (new.failed - old.failed, ("outcome:failed",)),
        ] + [
            (count - old.skipped.get(reason, 0), ("outcome:skipped", f"reason:{self._reason(reason)}"))
            for reason, count in new.skipped.items()
        ]
        for count, tags in outcomes:
            if count:
                yield metrics.RECORDS, count, tags
        for metric, growth in (
            (metrics.RETRIES, new.retries - old.retries),
            (metrics.THROTTLED, new.throttled - old.throttled),
            (metrics.THROTTLED_TIME, now.throttled_s - self._sent.throttled_s),
        ):
            if growth:
                yield metric, growth, ()

    def _reason(self, reason: str) -> str:
        """Give the tag of a skip reason: numbers folded, and the first ten by name, whatever a job says."""
        reason = re.sub(r"\d+", "n", _value(reason))
        if reason not in self._reasons and len(self._reasons) == _MOST_REASONS:
            return "other"
        self._reasons.add(reason)
        return reason


def _common_tags(settings: Settings, job: str, start: Start) -> list[str]:
    """Give the tags of `metrics.COMMON_TAGS` that have a value."""
    values = (job, settings.dd_env, settings.dd_service or job, settings.dd_version or start.version, start.shard)
    return [f"{tag}:{_value(value)}" for tag, value in zip(metrics.COMMON_TAGS, values, strict=True) if value]


def _standing(progress: Progress) -> Iterator[Sample]:
    yield metrics.IN_FLIGHT, progress.in_flight, ()
    yield metrics.RATE, progress.rate, ()
    yield metrics.RECORD_AGE, progress.oldest_age_s, ()
    if progress.total:
        yield metrics.PROGRESS, min(1.0, progress.tally.finished / progress.total), ()


def _value(text: str) -> str:
    """Give a text as Datadog keeps a tag's value ("Getting Started with Tags"), so that it reads here as it will there."""
    return re.sub(r"[^\w./-]+", "_", text.lower()).strip("_")[:100]
