"""Say verdicts, counts, times and sizes in the words that terminal, logs and Slack share."""

from collections.abc import Mapping

from worker.events import ErrorGroup, History, Progress, Start, Summary
from worker.limits import Limits
from worker.tally import Tally
from worker.verdict import Verdict

_ENDS = {
    Verdict.SUCCEEDED: ("✅", "succeeded"),
    Verdict.ALREADY_DONE: ("☑️", "was already done"),
    Verdict.ALREADY_RUNNING: ("⏭️", "did nothing: another attempt is working on this run"),
    Verdict.OVERLAPPED: ("⏭️", "did nothing: another run of the job is still going on"),
    Verdict.ABORTED: ("🛑", "was aborted"),
    Verdict.CRASHED: ("💥", "crashed"),
    Verdict.COMPLETED_WITH_FAILURES: ("❌", "completed with {failures} in {records}"),
    Verdict.NOT_STARTED: ("⛔", "could not start"),
    Verdict.LEASE_LOST: ("🔀", "lost its lease: a newer attempt took over"),
    Verdict.INTERRUPTED: ("⏸️", "was interrupted; started again, it goes on from where it stopped"),
}

_BEFORE_ALL = "was interrupted before it had read a record; start it again"
"""Of an attempt that was stopped, or gave up waiting for the database, before there was anything to go on from."""

_SLOW_SIDES = {
    "throttled": "the other side, which asked for pauses",
    "source": "reading the records (source)",
    "sink": "writing the results (sink)",
    "database": "the database, which is away",
    "retries": "records that wait for their next try (retries)",
}

_CLOSE = 0.05
"""Durations and counts that differ by less are called the same."""


def emoji(summary: Summary) -> str:
    """Give the one sign that the verdict is seen by."""
    return "⚠️" if _tolerated(summary) else _ENDS[summary.verdict][0]


def headline(summary: Summary) -> str:
    """Say which job ended how: `poll-payments completed with 12 failures in 5,000 records`."""
    failures = _failures(summary)
    records = plural(summary.run_tally.finished, "record")
    words = _ENDS[summary.verdict][1].format(failures=failures, records=records)
    if summary.followed:
        words = f"followed another attempt to its end: {summary.followed.word}"
    elif summary.verdict is Verdict.INTERRUPTED and not summary.run_tally.read:
        words = _BEFORE_ALL
    if _tolerated(summary):
        words += f" with {failures} tolerated"
    return f"{summary.start.job} {words}{_trial(summary)}"


def meaning(summary: Summary) -> str:
    """Say what the verdict means for this attempt: of whom it followed, of all records or of as many as it was to read."""
    if summary.followed:
        return f"followed it: it {summary.followed.word}"
    most, said = summary.start.max_records, summary.verdict.meaning
    if most is None or summary.tally.read < most:
        return said
    return said.replace("all records were", "as many records as --max-records allows were")


def counters(counted: dict[str, float]) -> str:
    """Write a job's counters: `objects 1,234 · bytes 61 MB`."""
    return " · ".join(
        f"{name} {size(value) if name.endswith('bytes') else number(value)}" for name, value in counted.items()
    )


def shards(summary: Summary) -> list[str]:
    """Say how the shards of a run ended, a line for each that did not succeed: `3/8 aborted: 12 records failed …`; none where all did."""
    other = [end for end in summary.shards if not end.verdict.finished]
    well = len(summary.shards) - len(other)
    lines = [
        f"{end.shard} {end.verdict.word}{f': {end.detail}' if end.detail else ''}, {counts(end.tally)}" for end in other
    ]
    return [f"{well} of {len(summary.shards)} succeeded", *lines] if other else []


def would(summary: Summary) -> str | None:
    """Say how much a dry run would have changed: `would have changed 4,900 records`; None for any other run."""
    if not summary.start.dry_run:
        return None
    return f"would have changed {plural(summary.tally.done, 'record') if summary.tally.done else 'nothing'}"


def _failures(summary: Summary) -> str:
    """Count the run's failures; after a resume, say how many of them this attempt can show."""
    run, attempt = summary.run_tally.failed, summary.tally.failed
    here = f" ({attempt or 'none'} of them in this attempt)" if attempt != run else ""
    return f"{plural(run, 'failure')}{here}"


def _tolerated(summary: Summary) -> bool:
    return summary.verdict is Verdict.SUCCEEDED and summary.run_tally.failed > 0


def _trial(summary: Summary) -> str:
    trials = _trials(summary.start)
    return f" ({', '.join(trials)})" if trials else ""


def _trials(start: Start) -> list[str]:
    trials = ["dry run"] if start.dry_run else []
    return trials + ([f"at most {plural(start.max_records, 'record')}"] if start.max_records is not None else [])


def beginning(start: Start) -> list[str]:
    """Say in two lines who begins with which records, and under which limits."""
    limits = start.limits
    who = [f"{start.job} started", f"run {start.run_id}", f"attempt {start.attempt}"]
    who += [f"goes on after {', '.join(map(str, start.resumed_from))}"] if start.resumed_from else []
    who += [f"shard {start.shard}"] if start.shard else []
    who += [f"scope {scope(start.scope)}", *_trials(start)]
    bounds = [f"at most {limits.rate}" if limits.rate else "no rate limit", f"{limits.concurrency:,} at once"]
    bounds += [f"{duration(limits.max_age)} old"] if limits.max_age is not None else []
    return [" · ".join(who), f"{', '.join(bounds)} · stop within {start.stop_plan}"]


def number(value: float) -> str:
    """Write a count: `1,234`; small fractions keep a digit."""
    return f"{value:,.1f}" if abs(value) < 10 and value != int(value) else f"{value:,.0f}"


def plural(count: int, noun: str) -> str:
    """Write a count of things: `1 record`, `1,234 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Write a share (0 to 1): `12 %`, `0.3 %`."""
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share:.0%}".replace("%", " %")


def duration(seconds: float) -> str:
    """Write a time: `0.4 s`, `56 s`, `2 m 05 s`, `3 h 07 m`, `2 d 04 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3_600, whole // 86_400
    if minutes < 1:
        return f"{whole} s"
    if hours < 1:
        return f"{minutes} m {whole % 60:02d} s"
    return f"{hours} h {minutes % 60:02d} m" if days < 1 else f"{days} d {hours % 24:02d} h"


def size(count: float) -> str:
    """Write a number of bytes: `61 MB` (of 1,024 × 1,024 bytes, as ECS counts memory)."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} GB"


def rate(per_second: float) -> str:
    """Write a rate: `90/s`, `0.4/s`."""
    return f"{number(per_second)}/s"


def counts(tally: Tally) -> str:
    """Write a tally as the sum that it is: read = done + skipped (by reason) + failed + unfinished."""
    parts = [f"{tally.done:,} done"]
    parts += [f"{tally.skips:,} skipped ({_reasons(tally)})"] if tally.skips else []
    parts += [f"{tally.failed:,} failed"] if tally.failed else []
    parts += [f"{tally.unfinished:,} unfinished"] if tally.unfinished else []
    return f"{tally.read:,} read = {' + '.join(parts)}"


def _reasons(tally: Tally, most: int = 4) -> str:
    largest = sorted(tally.skipped.items(), key=lambda item: -item[1])
    shown = [f"{count:,} {shortened(reason, 60)}" for reason, count in largest[:most]]
    others = sum(count for _, count in largest[most:])
    return ", ".join(shown + ([f"{others:,} other"] if others else []))


def scope(fields: dict[str, object]) -> str:
    """Write a scope as the command line takes it: `merchant_id=42 region=eu`; `all` when it narrows nothing."""
    return " ".join(f"{name}={value}" for name, value in fields.items()) or "all"


def limited(by: str, limits: Limits, portions: Mapping[str, int] | None = None) -> str:
    """Say what held the attempt back: `the rate limit (90/s)`; empty while unknown."""
    if by == "rate":
        portion = (portions or {}).get(limits.rate.name) if limits.rate else None
        mine = f", {portion:,} of them here at last" if portion is not None else ""
        return f"the rate limit ({limits.rate}{mine})" if limits.rate else "the rate limit"
    if by == "concurrency":
        return f"its concurrency ({limits.concurrency:,} records in flight)"
    return _SLOW_SIDES.get(by, by)


def compared(summary: Summary) -> str | None:
    """Compare with the run's predecessors: `12 % slower than the median of the last 10 (50 s)`.

    None where that would mislead: no predecessors, a trial, or an attempt that did not do the run from start to end.
    """
    history, start = summary.history, summary.start
    whole = summary.verdict.complete and start.attempt == 1 and not _trial(summary)
    if history is None or history.runs < 1 or not whole:
        return None
    words = f"{_against(summary.duration_s, history.duration_s)} {_median(history)} ({duration(history.duration_s)})"
    records = _drift(summary.tally.read, history.records)
    return f"{words}, {records}" if records else words


def _against(now: float, before: float) -> str:
    ratio = now / before if before > 0 else 1.0
    if abs(ratio - 1) < _CLOSE:
        return "as fast as"
    if ratio >= 2:
        return f"{ratio:.1f} × as long as"
    return f"{percent(abs(ratio - 1))} {'slower' if ratio > 1 else 'faster'} than"


def _median(history: History) -> str:
    return "the run before" if history.runs == 1 else f"the median of the last {history.runs}"


def _drift(now: float, before: float) -> str:
    ratio = now / before if before > 0 else 1.0
    if abs(ratio - 1) < _CLOSE:
        return ""
    if ratio >= 2:
        return f"{ratio:.1f} × the records"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'fewer'} records"


def memory(summary: Summary) -> str:
    """Say how much of the task's memory was used at most: `61 MB of 512 MB (12 %)`."""
    limit = summary.start.task.memory_limit
    if not limit:
        return size(summary.peak_memory)
    return f"{size(summary.peak_memory)} of {size(limit)} ({percent(summary.peak_memory / limit)})"


def cpu(summary: Summary) -> str:
    """Say how much of the task's CPU was used: `4.1 s, 29 % of 0.25 vCPU`."""
    limit = summary.start.task.cpu_limit
    if not limit or summary.duration_s <= 0:
        return duration(summary.cpu_s)
    return f"{duration(summary.cpu_s)}, {percent(summary.cpu_s / summary.duration_s / limit)} of {limit:g} vCPU"


def oldest(summary: Summary) -> str:
    """Say how old the oldest record was when it was worked on: `4.2 s (30 s allowed)`."""
    allowed = summary.start.limits.max_age
    return duration(summary.oldest_age_s) + (f" ({duration(allowed)} allowed)" if allowed is not None else "")


def error(group: ErrorGroup, longest: int = 200) -> str:
    """Write a group of failures as one line: `12 × resource_missing: No such … (e.g. [4711])`."""
    message = shortened(f"{group.type}: {group.message}", longest)
    return f"{group.count:,} × {message} (e.g. {shortened(group.sample_key, 80)})"


def position(progress: Progress) -> str:
    """Say how far an attempt is: `900 of 5,000 records (18 %), 90/s, 46 s to go`."""
    finished, total = progress.tally.finished, progress.total
    far = (
        f"{finished:,} of {total:,} records ({percent(min(1.0, finished / total))})"
        if total
        else f"{finished:,} records"
    )
    left = [f"{duration(progress.eta_s)} to go"] if progress.eta_s is not None else []
    return ", ".join([far, rate(progress.rate), *left])


def shortened(text: str, longest: int) -> str:
    """Put a text on one line of at most that many characters."""
    line = " ".join(text[: 4 * longest + 4].split())
    return line if len(line) <= longest else line[: max(0, longest - 1)] + "…"
