"""Draw how far an attempt is: the few lines that the live display shows, each cut to the width, never wrapped."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from worker.events import Progress, Start
from worker.mask import Mask
from worker.report import words
from worker.report.slack_text import cleaned

_LONGEST = 500


def frame(start: Start, now: Progress, mask: Mask) -> Group:
    """Give the display for this moment."""
    return Group(*_rows(start, now, mask))


def _rows(start: Start, now: Progress, mask: Mask) -> Iterator[RenderableType]:
    yield _title(start, now, mask)
    if now.total:
        far = min(now.tally.finished, now.total)
        bar = ProgressBar(total=now.total, completed=far, complete_style="green", finished_style="green")
        yield Padding(bar, 0)  # a bar alone does not end its line
    yield _line((words.position(now), "bold"))
    yield _outcomes(now)
    if pace := _pace(start, now):
        yield _line((pace, "cyan"))
    if now.last_error:
        away = now.limited_by == "database"
        label = (" DATABASE AWAY ", "bold white on red") if away else ("last error:", "red")
        yield _line(label, (f" {cleaned(now.last_error, mask, _LONGEST)}", ""))
    if now.stopping:
        yield _line((" STOPPING ", "bold black on yellow"), (f" {cleaned(now.stopping, mask, _LONGEST)}", "yellow"))
    yield Text()  # here the terminal echoes a Ctrl-C: after a full line it would wrap, and a row would not be erased


def _title(start: Start, now: Progress, mask: Mask) -> Text:
    told = [f"attempt {start.attempt}"] if start.attempt > 1 else []
    told += [f"shard {start.shard}"] if start.shard else []
    told += ["dry run"] if start.dry_run else []
    told += [words.duration(now.elapsed_s), f"run {start.run_key}"]
    return _line((start.job, "bold"), (f" · {cleaned(' · '.join(told), mask, _LONGEST)}", "dim"))


def _outcomes(now: Progress) -> Text:
    tally = now.tally
    return _line(
        (f"{tally.done:,} done", "green"),
        (" · ", "dim"),
        (f"{tally.failed:,} failed", "bold red" if tally.failed else "dim"),
        (" · ", "dim"),
        (f"{tally.skips:,} skipped", "yellow" if tally.skips else "dim"),
        (" · ", "dim"),
        (f"{now.in_flight:,} in flight", ""),
    )


def _pace(start: Start, now: Progress) -> str:
    limited = words.limited(now.limited_by, start.limits)
    told = [f"limited by {limited}"] if limited else []
    told += [f"{now.tally.retries:,} {'retry' if now.tally.retries == 1 else 'retries'}"] if now.tally.retries else []
    told += [f"paused {words.duration(now.throttled_s)}"] if now.throttled_s else []
    return " · ".join(told)


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
