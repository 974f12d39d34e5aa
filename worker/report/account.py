"""Lay a summary out for people who read it in a terminal or a log: labelled facts, counts, and what to do next."""

from collections.abc import Iterator
from typing import NamedTuple

from worker.events import Summary
from worker.mask import Mask
from worker.report import words
from worker.report.slack_text import cleaned
from worker.tally import Tally
from worker.verdict import Verdict

_SHOWN_GROUPS = 5
_LONGEST = 300


class Count(NamedTuple):
    """A line of the counts table."""

    outcome: str
    records: int
    note: str = ""


class Account:
    """Give the parts of a summary as texts: masked, each on one line, without control characters."""

    def __init__(self, summary: Summary, mask: Mask) -> None:
        self._summary = summary
        self._mask = mask

    def headline(self) -> str:
        """Say the verdict."""
        return f"{words.emoji(self._summary)} {self._clean(words.headline(self._summary))}"

    def detail(self) -> str:
        """Say why; empty where there is nothing to add."""
        return self._clean(self._summary.detail)

    def counts(self) -> list[Count]:
        """Count this attempt's records by outcome, and all that were read."""
        tally = self._summary.tally
        return [
            Count("done", tally.done, _share(tally.done, tally)),
            Count("skipped", tally.skips, self._reasons(tally)),
            Count("failed", tally.failed, _share(tally.failed, tally)),
            Count("unfinished", tally.unfinished),
            Count("read", tally.read),
        ]

    def facts(self) -> Iterator[tuple[str, str]]:
        """Give what else is to be known, label by label; what says nothing is left out."""
        summary = self._summary
        start, tally = summary.start, summary.tally
        if start.attempt > 1:
            yield f"all {start.attempt} attempts", self._clean(words.counts(summary.run_tally))
        part = f", shard {start.shard}" if start.shard else ""
        part = f", {len(summary.shards)} shards" if summary.shards else part
        yield "run", self._clean(start.run_id + part)
        if start.scope:
            yield "scope", self._clean(words.scope(start.scope))
        yield "took", f"{words.duration(summary.duration_s)} at {words.rate(summary.rate)}"
        if summary.counters:
            yield "counted", self._clean(words.counters(summary.counters))
        if limited := words.limited(summary.limited_by, start.limits, summary.portions):
            yield "limited by", limited
        if compared := words.compared(summary):
            yield "compared", compared
        if summary.oldest_age_s:
            yield "oldest record", words.oldest(summary)
        if tally.retries:
            yield "retries", words.number(tally.retries)
        if summary.throttled_s or tally.throttled:
            yield "paused", f"{words.duration(summary.throttled_s)}, asked for {words.number(tally.throttled)} ×"
        yield "memory, CPU", f"{words.memory(summary)} · {words.cpu(summary)}"

    def failures(self) -> list[str]:
        """Say the largest groups of failures, a line each."""
        groups = self._summary.errors
        lines = [self._clean(words.error(group)) for group in groups[:_SHOWN_GROUPS]]
        more = len(groups) - _SHOWN_GROUPS
        return lines + ([f"and {words.plural(more, 'other kind')} of failure"] if more > 0 else [])

    def lists(self) -> Iterator[tuple[str, list[str]]]:
        """Give what is told in lines of its own, title by title: failures, and what a dry run would have changed."""
        if failures := self.failures():
            yield "failures", failures
        if shards := words.shards(self._summary):
            yield "shards", [self._clean(line) for line in shards]
        if would := words.would(self._summary):
            yield would, [self._clean(sample) for sample in self._summary.samples]

    def afterwards(self) -> Iterator[tuple[str, str]]:
        """Give what is to be copied, label by label, never cut: links and the next command."""
        for label, url in self._summary.links.items():
            yield self._clean(label), cleaned(url, self._mask.known, 5_000)  # whole, or it would not open
        if self._summary.next_command:
            yield "next", self._clean(self._summary.next_command, 2_000)

    def exit(self) -> str:
        """Say the exit code in words."""
        return f"exit {self._summary.exit_code}: {self._summary.verdict.word} — {words.meaning(self._summary)}"

    def _reasons(self, tally: Tally) -> str:
        reasons = sorted(tally.skipped.items(), key=lambda item: -item[1])
        return self._clean(", ".join(f"{reason} {count:,}" for reason, count in reasons))

    def _clean(self, text: str, longest: int = _LONGEST) -> str:
        return cleaned(text, self._mask, longest)


def lines(account: Account, verdict: Verdict) -> Iterator[str]:
    """Write an account as plain lines."""
    yield account.headline()
    yield from _indented([account.detail()] if account.detail() else [])
    if verdict.worked:
        counts = account.counts()
        digits = max(len(f"{count.records:,}") for count in counts)
        yield from _indented(f"{outcome:<15} {records:>{digits},}  {note}" for outcome, records, note in counts)
        yield from _indented(f"{label:<15} {value}" for label, value in account.facts())
    for title, told in account.lists():
        yield from [f"  {title}", *_indented(_indented(told))]
    yield from (f"{label}: {value}" for label, value in account.afterwards())
    yield account.exit()


def _indented(told: "list[str] | Iterator[str]") -> Iterator[str]:
    return (f"  {line}".rstrip() for line in told)


def _share(count: int, tally: Tally) -> str:
    return words.percent(count / tally.finished) if count and tally.finished else ""
