"""The table that `make bench` prints."""

from collections.abc import Sequence

from bench.line import Line

_HEAD = ("", "measured", "worker", "against", "", "ratio", "±", "target", "")


def table(lines: Sequence[Line]) -> str:
    """Set the lines as a Markdown table, which is readable as it is."""
    rows = [_HEAD, *map(_row, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in ruled
    )


def _row(line: Line) -> tuple[str, ...]:
    own = line.baseline is None
    return (
        line.number,
        line.what,
        _figure(line.worker, line.unit),
        line.against,
        "" if own else _figure(line.baseline or 0.0, line.unit),
        "" if own else f"{line.ratio:.2f}",
        f"{line.spread:.0%}",
        _target(line, "" if not own else line.unit),
        ("met" if line.met else _short(line)) if _target(line, "") else "",
    )


def _target(line: Line, unit: str) -> str:
    if line.at_least is not None:
        return f"≥ {_figure(line.at_least, unit)}"
    return "" if line.at_most is None else f"≤ {_figure(line.at_most, unit)}"


def _short(line: Line) -> str:
    goal = line.at_least if line.at_least is not None else line.at_most
    return f"SHORT by {abs(line.ratio / goal - 1):.0%}" if goal else "SHORT"


def _figure(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip() if unit != "/s" else f"{text}/s"
