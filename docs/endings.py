"""Write docs/endings.md from the tables in worker/aws: `make documents`."""

from pathlib import Path

from worker.aws import endings, never_started
from worker.aws.endings import Way

PAGE = Path(__file__).with_suffix(".md")

_HEAD = """\
# How tasks end

What the STOPPED reporter makes of each end ([operations](operations.md#when-a-task-dies)). *As it is*: whether the same run may be
started again without mending anything first; it is always safe for the data: what was committed stays, and the run goes on
from there. *By itself*: whether the reporter starts it again, at most three times. This page is written by `make documents` from
`worker/aws/endings.py` and `worker/aws/never_started.py`; a test holds it to the code.
"""
_ROWS = """
| Verdict | What happened | As it is | By itself | What to do |
| --- | --- | --- | --- | --- |
"""
_MEMORY = "give it the size that the message suggests, or lower page_size and concurrency"


def page() -> str:
    """Give the page."""
    ran = [way for way in vars(endings).values() if isinstance(way, Way) and way is not endings.NOT_STARTED]
    never = [way for _, way in never_started.STARTS if way.verdict != endings.NOT_EXECUTABLE.verdict]
    return (
        f"{_HEAD}\n## After it ran\n{_ROWS}{''.join(map(_row, ran))}"
        f"\n## It never ran\n{_ROWS}{''.join(map(_row, [*never, endings.NOT_STARTED]))}"
    )


def _row(way: Way) -> str:
    do = _MEMORY if way is endings.OUT_OF_MEMORY else way.do
    return f"| {way.verdict} | {way.what} | {_word(way.safe)} | {_word(way.restart)} | {do or '–'} |\n"


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


if __name__ == "__main__":
    PAGE.write_text(page())
