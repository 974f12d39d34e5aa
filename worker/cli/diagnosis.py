"""The doctor's findings in words, by job: coloured on a terminal, plain in a pipe."""

import os
from collections.abc import Sequence
from itertools import groupby
from typing import TextIO

from worker.aws.doctor.finding import Finding

_EVERYBODY = "all jobs"
_ASIDE = 6
"""How far the lines of a finding are set in."""


def write(found: Sequence[Finding], last: str, stream: TextIO) -> None:
    """Write them and a last line."""
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        _draw(found, last, stream)
    else:
        stream.write("".join(f"{line}\n" for line in lines(found)))
        stream.write(f"{last}\n")


def lines(found: Sequence[Finding]) -> list[str]:
    """Give them as plain lines."""
    written = []
    for job, of_job in groupby(found, lambda finding: finding.job):
        written.append(job or _EVERYBODY)
        for finding in of_job:
            written += [f"  {finding.code}  {finding.place}", f"      {finding.what}"]
            written += [f"      why   {finding.why}", f"      mend  {finding.mend}", ""]
    return written


def _draw(found: Sequence[Finding], last: str, stream: TextIO) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    for job, of_job in groupby(found, lambda finding: finding.job):
        console.print(Text(job or _EVERYBODY, style="bold"))
        for finding in of_job:
            console.print(Text.assemble("  ", (finding.code, "bold red"), "  ", (finding.place, "dim")), soft_wrap=True)
            for label, text, style in (("", finding.what, ""), ("why   ", finding.why, "dim")):
                console.print(Padding(Text.assemble((label, "dim"), (text, style)), (0, 0, 0, _ASIDE)))
            # Unbroken by any wrapping, for it is to be copied.
            console.print(Text.assemble(" " * _ASIDE, ("mend  ", "dim"), (finding.mend, "green")), soft_wrap=True)
            console.print()
    console.print(Text(last, style="yellow" if found else "green"), soft_wrap=True)
