"""Make what a report is made of: tables as CSV, charts as SVG. The same rows give the same bytes."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pygal
from pygal.style import Style

from worker.lines import Writing

# Its plugins, of which we have none, are found in a way that is over: Python 3.11 would warn at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

_SANS = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#616061",
    foreground_strong="#1d1c1d",
    foreground_subtle="#dddddd",
    font_family=_SANS,
    title_font_size=20,
    label_font_size=13,
    major_label_font_size=13,
    colors=("#1264a3",),
)


def csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV, the names of the columns first."""
    return b"".join(map(Writing("csv"), rows))


def bars(rows: Sequence[Mapping[str, Any]], x: str, y: str, *, title: str) -> bytes:
    """Draw a bar for each row: the column `y` over the column `x`, both called by their names."""
    chart = pygal.Bar(
        title=title,
        x_title=x,
        y_title=y,
        width=900,
        height=420,
        margin=16,
        style=_STYLE,
        show_legend=False,
        js=(),  # it would be fetched from elsewhere
    )
    chart.uuid = str(uuid5(NAMESPACE_URL, title))
    chart.add_xml_filter(_still)
    chart.x_labels = [str(row[x]) for row in rows]
    chart.add(y, [float(row[y]) for row in rows])
    drawn: bytes = chart.render()
    return drawn


def _still(svg: Any) -> Any:
    """Leave out what would differ tomorrow, the comments, and what only a script would read."""
    for parent in (svg, *svg.iter("defs")):
        for element in [element for element in parent if callable(element.tag) or element.tag == "script"]:
            parent.remove(element)
    return svg
