"""worker/report/account.py: a summary in labelled lines."""

import pytest
from examples import a_start, a_summary, a_tally, an_error

from worker.mask import Mask
from worker.report.account import Account, lines
from worker.verdict import Verdict


def told(verdict: Verdict = Verdict.SUCCEEDED, **changes: object) -> list[str]:
    summary = a_summary(verdict, **changes)
    return list(lines(Account(summary, Mask()), verdict))


@pytest.mark.parametrize("verdict", Verdict)
def test_account_says_the_exit_code_in_words(verdict: Verdict) -> None:
    """The last line is the code, the verdict's word and what it means."""
    assert told(verdict)[-1] == f"exit {verdict.exit_code}: {verdict.word} — {verdict.meaning}"


def test_account_of_a_bounded_run_does_not_say_all() -> None:
    """There may be more records than it was to read; where it has read fewer, there were none."""
    assert told(start=a_start(max_records=5_000))[-1].endswith("as many records as --max-records allows were worked on")
    assert told(start=a_start(max_records=5_001))[-1].endswith("— all records were worked on")


def test_account_counts_add_up() -> None:
    """The first four counts are the last."""
    *parts, read = Account(a_summary(tally=a_tally(done=4_000)), Mask()).counts()
    assert sum(part.records for part in parts) == read.records == 5_000


def test_account_of_an_end_without_work_counts_nothing() -> None:
    """Who did nothing has no counts and no times to tell."""
    assert not any("took" in line or "read" in line for line in told(Verdict.OVERLAPPED))


def test_account_leaves_out_what_says_nothing() -> None:
    """No retries, no pause, no scope, no earlier attempt: no line for them."""
    text = "\n".join(told(tally=a_tally(retries=0), limited_by="", history=None, oldest_age_s=0.0))
    assert not any(
        label in text for label in ("retries", "paused", "scope", "attempts", "limited", "compared", "oldest")
    )


def test_account_says_what_a_resumed_run_has_done_in_all() -> None:
    """With earlier attempts, the run's tally is told beside the attempt's."""
    text = "\n".join(told(start=a_start(attempt=3), run_tally=a_tally(read=9_000, done=8_900)))
    assert "all 3 attempts" in text
    assert "9,000 read" in text


def test_account_parts_labels_from_values() -> None:
    """The longest label still has a space after it."""
    text = told(start=a_start(attempt=12))
    assert "  oldest record   4.2 s (30 s allowed)" in text
    assert any(line.startswith("  all 12 attempts 5,000 read") for line in text)


def test_account_shows_the_largest_failures_and_how_many_more() -> None:
    """Five groups are shown; the rest is counted."""
    text = told(errors=tuple(an_error(message=f"kind {number}") for number in range(8)))
    assert sum("kind " in line and "×" in line for line in text) == 5
    assert "    and 3 other kinds of failure" in text


def test_account_puts_foreign_text_on_one_line_without_control_characters() -> None:
    """An error's message can neither move the cursor nor make lines of its own."""
    text = told(errors=(an_error(message="a\x1b[2Jb\r\nc"),), detail="d\ne")
    assert all(line.isprintable() for line in text)
    assert "  d e" in text


def test_account_never_cuts_the_next_command() -> None:
    """A command that was cut would be run as it stands."""
    command = "python -m worker poll-payments " + "--scope merchant_id=4711 " * 30
    assert f"next: {command.strip()}" in told(next_command=command)


def test_account_shows_what_a_dry_run_would_have_done() -> None:
    """How much, and some of it; or that it is nothing."""
    text = told(start=a_start(dry_run=True), samples=("4711 → succeeded",))
    assert text[text.index("  would have changed 4,900 records") + 1] == "    4711 → succeeded"
    assert "  would have changed nothing" in told(start=a_start(dry_run=True), tally=a_tally(done=0))
    assert not any("would have" in line for line in told())
