"""Draw a terminal in which a run is seen in the middle and at its end."""

import io

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from sample import PROGRESS, START, SUMMARY

from worker.mask import Mask
from worker.report import words
from worker.report.frame import frame
from worker.report.terminal import draw_summary

_WIDTH = 88

# As rich's own, without the fonts that it fetches from elsewhere.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="A run, seen in a terminal">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, Arial, 'DejaVu Sans', sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

_THEME = TerminalTheme(
    (24, 26, 31),
    (208, 212, 220),
    [
        (40, 44, 52),
        (240, 113, 120),
        (140, 200, 110),
        (229, 192, 100),
        (97, 160, 239),
        (198, 120, 221),
        (86, 182, 194),
        (208, 212, 220),
    ],
)


def run_svg() -> str:
    """Give the picture; the same code gives the same picture."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=_WIDTH,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        _environ={},
    )
    console.print(Text("$ make run\n", style="bold"))
    for line in words.beginning(START):
        console.print(Text(line))
    console.print(frame(START, PROGRESS, Mask()))
    console.print(Text("… four seconds later\n", style="dim"))
    draw_summary(console, SUMMARY, Mask())
    drawn = console.export_svg(title="make run", theme=_THEME, code_format=_SVG, unique_id="run")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"
