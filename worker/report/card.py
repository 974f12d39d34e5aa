"""Draw how an attempt ended: the summary as a card, for a terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from worker.report.account import Account
from worker.verdict import Verdict

_COLOURS = {0: "green", 75: "yellow"}
"""By exit code; every other is red."""

_OUTCOMES = {"done": "green", "skipped": "yellow", "failed": "bold red", "unfinished": "cyan"}


def card(account: Account, verdict: Verdict) -> Panel:
    """Draw the summary; its edges are above and below only, so that no emoji's width can bend them."""
    return Panel(Group(*_parts(account, verdict)), box=box.HORIZONTALS, border_style=colour(verdict))


def colour(verdict: Verdict) -> str:
    """Give the colour that a verdict is seen by."""
    return _COLOURS.get(verdict.exit_code, "red")


def _parts(account: Account, verdict: Verdict) -> Iterator[RenderableType]:
    yield Text(account.headline(), style=f"bold {colour(verdict)}")
    if detail := account.detail():
        yield Text(detail)
    if verdict.worked:
        yield Padding(_counts(account), (1, 0, 1, 2))
        yield Padding(_facts(account), (0, 0, 0, 2))
    for title, lines in account.lists():
        yield Text(f"\n{title.capitalize()}", style="bold red" if title == "failures" else "bold")
        yield Padding(Group(*map(Text, lines)), (0, 0, 0, 2))


def _counts(account: Account) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=11)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for outcome, records, note in account.counts():
        style = _OUTCOMES.get(outcome, "bold") if records else "dim"
        table.add_row(Text(outcome, style=style), Text(f"{records:,}", style=style), Text(note))
    return table


def _facts(account: Account) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=11)
    table.add_column()
    for label, value in account.facts():
        table.add_row(Text(label), Text(value))
    return table
