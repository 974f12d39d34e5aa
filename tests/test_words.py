"""The words that every report shares."""

from dataclasses import replace

import pytest
from examples import MB, a_progress, a_start, a_summary, a_tally, an_error

from worker.events import History, Task
from worker.limits import Limits, Rate
from worker.report import words
from worker.verdict import Verdict


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (125, "2 m 05 s"),
        (3_599.7, "1 h 00 m"),
        (11_220, "3 h 07 m"),
        (187_200, "2 d 04 h"),
    ],
)
def test_words_write_durations(seconds: float, said: str) -> None:
    """A time is written with the two units that matter."""
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (words.number(1_234), "1,234"),
        (words.number(0.4), "0.4"),
        (words.number(0), "0"),
        (words.rate(89.6), "90/s"),
        (words.rate(2.5), "2.5/s"),
        (words.percent(0.12), "12 %"),
        (words.percent(0.003), "0.3 %"),
        (words.percent(0), "0 %"),
        (words.percent(1), "100 %"),
        (words.size(512), "512 B"),
        (words.size(61 * MB), "61 MB"),
        (words.size(1_000 * MB), "1.0 GB"),
        (words.size(30 * 1024 * MB), "30.0 GB"),
        (words.plural(1, "record"), "1 record"),
        (words.plural(1_234, "record"), "1,234 records"),
        (words.scope({}), "all"),
        (words.scope({"merchant_id": 42, "region": "eu"}), "merchant_id=42 region=eu"),
        (words.shortened("a\n b\t c", 10), "a b c"),
        (words.shortened("abcdef", 4), "abc…"),
        (words.error(an_error()), "12 × resource_missing: No such payment_intent: 'pi_3Nk2x' (e.g. [4711])"),
        (words.position(a_progress()), "900 of 5,000 records (18 %), 90/s, 46 s to go"),
        (words.position(a_progress(total=None, eta_s=None)), "900 records, 90/s"),
        (words.position(a_progress(total=0, eta_s=None)), "900 records, 90/s"),
        (words.memory(a_summary()), "61 MB of 512 MB (12 %)"),
        (words.memory(a_summary(start=a_start(task=Task()))), "61 MB"),
        (words.cpu(a_summary()), "4.1 s, 29 % of 0.25 vCPU"),
        (words.cpu(a_summary(duration_s=0.0)), "4.1 s"),
        (words.oldest(a_summary()), "4.2 s (30 s allowed)"),
        (words.oldest(a_summary(start=a_start(limits=Limits()))), "4.2 s"),
    ],
)
def test_words_write_figures(written: str, said: str) -> None:
    """Counts, shares, sizes and rates read the same in every report."""
    assert written == said


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("rate", "the rate limit (90/s)"),
        ("concurrency", "its concurrency (64 records in flight)"),
        ("throttled", "the other side, which asked for pauses"),
        ("source", "reading the records (source)"),
        ("sink", "writing the results (sink)"),
        ("database", "the database, which is away"),
        ("", ""),
        ("moon", "moon"),
    ],
)
def test_words_say_what_limits(by: str, said: str) -> None:
    """What holds an attempt back is said with its figure."""
    assert words.limited(by, Limits(concurrency=64, rate=Rate(90))) == said


@pytest.mark.parametrize("verdict", list(Verdict))
def test_words_know_every_verdict(verdict: Verdict) -> None:
    """Each end has its sign and its headline, the job first."""
    summary = a_summary(verdict)
    assert words.emoji(summary)
    assert words.headline(summary).startswith("poll-payments ")


def test_words_headline_tells_failures() -> None:
    """Tolerated failures are not hidden behind a green sign, and too many are counted."""
    clean = a_tally(failed=0, done=4_912)
    assert words.emoji(a_summary(Verdict.SUCCEEDED, tally=clean)) == "✅"
    assert words.headline(a_summary(Verdict.SUCCEEDED, tally=clean)) == "poll-payments succeeded"
    assert words.emoji(a_summary(Verdict.SUCCEEDED)) == "⚠️"
    assert words.headline(a_summary(Verdict.SUCCEEDED)) == "poll-payments succeeded with 12 failures tolerated"
    assert words.headline(a_summary()) == "poll-payments completed with 12 failures in 5,000 records"


@pytest.mark.parametrize(("now", "said"), [(5, "5 of them in this attempt"), (0, "none of them in this attempt")])
def test_words_headline_tells_whose_failures_are_shown(now: int, said: str) -> None:
    """After a resume the verdict is on all attempts' failures, and the groups beneath it on this one's."""
    summary = a_summary(start=a_start(attempt=2), tally=a_tally(failed=now), run_tally=a_tally())
    assert words.headline(summary) == f"poll-payments completed with 12 failures ({said}) in 5,000 records"


def test_words_begin_with_who_and_how() -> None:
    """The first lines on a terminal say whose run it is, what it works on and how it is bounded."""
    who, how = words.beginning(a_start())
    assert who == "poll-payments started · run poll-payments:2026-11-22T06:30:00Z · attempt 1 · scope all"
    assert how == "at most 90/s, 64 at once, 30 s old · stop within 30 s: drain 13.5 s, commit 6.8 s, report 6.8 s"
    again = a_start(attempt=2, resumed_from=[4_999], scope={"merchant_id": 42}, dry_run=True, max_records=10)
    who, _ = words.beginning(again)
    assert "attempt 2 · goes on after 4999 · scope merchant_id=42 · dry run · at most 10 records" in who


def test_words_headline_tells_trials() -> None:
    """A dry run or a canary cannot be taken for the real thing."""
    trial = a_summary(Verdict.CRASHED, start=a_start(dry_run=True, max_records=1))
    assert words.headline(trial) == "poll-payments crashed (dry run, at most 1 record)"


def test_words_headline_tells_whom_it_followed() -> None:
    """Who waited for another attempt did not do nothing: its end, and its exit code, are that one's."""
    waited = a_summary(Verdict.ALREADY_RUNNING, followed=Verdict.SUCCEEDED)
    assert words.headline(waited) == "poll-payments followed another attempt to its end: succeeded"


def test_words_counts_are_a_sum() -> None:
    """The tally reads as the sum that it is, with the largest reasons for skipping."""
    assert words.counts(a_tally(read=5_010)) == (
        "5,010 read = 4,900 done + 88 skipped (80 unchanged, 8 changed meanwhile) + 12 failed + 10 unfinished"
    )
    many = a_tally(skipped={f"reason {n}": n for n in range(1, 7)}, read=0, done=0, failed=0)
    assert "(6 reason 6, 5 reason 5, 4 reason 4, 3 reason 3, 3 other)" in words.counts(many)


@pytest.mark.parametrize(
    ("took", "read", "said"),
    [
        (56, 5_000, "12 % slower than the median of the last 10 (50 s)"),
        (51, 5_000, "as fast as the median of the last 10 (50 s)"),
        (25, 5_000, "50 % faster than the median of the last 10 (50 s)"),
        (160, 5_000, "3.2 × as long as the median of the last 10 (50 s)"),
        (51, 4_000, "as fast as the median of the last 10 (50 s), 20 % fewer records"),
        (51, 20_000, "as fast as the median of the last 10 (50 s), 4.0 × the records"),
    ],
)
def test_words_compare_with_predecessors(took: float, read: int, said: str) -> None:
    """A run is held against the median of its predecessors, in time and in records."""
    summary = a_summary(
        duration_s=took, tally=a_tally(read=read), history=History(runs=10, duration_s=50, records=5_000, failed=0)
    )
    assert words.compared(summary) == said


def test_words_compare_only_whole_runs() -> None:
    """Part of a run is not compared: it would look fast."""
    whole = a_summary()
    assert words.compared(whole)
    for part in (
        replace(whole, history=None),
        replace(whole, verdict=Verdict.INTERRUPTED),
        replace(whole, start=a_start(attempt=2)),
        replace(whole, start=a_start(dry_run=True)),
        replace(whole, start=a_start(max_records=10)),
    ):
        assert words.compared(part) is None
