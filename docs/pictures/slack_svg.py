"""Draw the Slack message of a run, from the very blocks that are posted."""

import re
from collections.abc import Iterator
from html import escape, unescape
from typing import Any, NamedTuple

from sample import POSTED

from worker.mask import Mask
from worker.report.slack_message import message

_WIDTH, _LEFT, _RIGHT = 800, 76, 24
_LINE = 22
_SPAN = re.compile(r"\*(?P<bold>[^*\n]+)\*|`(?P<code>[^`\n]+)`|<(?P<url>[^|>]+)\|(?P<label>[^>]+)>")

_STYLE = """\
text { font: 15px system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif; fill: #1d1c1d; white-space: pre; }
.b { font-weight: 700; } .h { font-weight: 800; font-size: 18px; } .s { font-size: 13px; fill: #616061; }
.c { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 12.5px; fill: #c01343; }
.l { fill: #1264a3; } .a { font-size: 10px; fill: #616061; font-weight: 700; }"""


class Piece(NamedTuple):
    """Words in one style: "" for plain, or a class of the picture's."""

    text: str
    style: str


def slack_svg() -> str:
    """Give the picture; the same code gives the same picture."""
    posted = message(POSTED, Mask())
    assert posted is not None
    drawing = _Drawing()
    for block in posted.blocks:
        drawing.block(block)
    return drawing.svg()


class _Drawing:
    """Put lines under each other."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._bottom = 46

    def block(self, block: dict[str, Any]) -> None:
        if block["type"] == "header":
            self._write([Piece(block["text"]["text"], "h")], gap=12)
        elif block["type"] == "context":
            told = "   ".join(element["text"] for element in block["elements"])
            self._write([Piece(text, style or "s") for text, style in _pieces(told)], gap=10)
        elif "fields" in block:
            self._fields([field["text"] for field in block["fields"]])
        else:
            for number, line in enumerate(block["text"]["text"].split("\n")):
                self._write(list(_pieces(line)), gap=0 if number else 10)

    def _fields(self, fields: list[str]) -> None:
        half = (_WIDTH - _LEFT - _RIGHT) // 2
        for pair in zip(fields[::2], [*fields[1::2], ""], strict=False):
            top = self._bottom + 10
            bottoms = []
            for column, field in enumerate(pair):
                self._bottom = top
                for line in field.split("\n"):
                    self._write(list(_pieces(line)), left=_LEFT + column * half, width=half - 16)
                bottoms.append(self._bottom)
            self._bottom = max(bottoms)

    def _write(
        self, pieces: list[Piece], gap: int = 0, left: int = _LEFT, width: int = _WIDTH - _LEFT - _RIGHT
    ) -> None:
        self._bottom += gap
        for line in _wrapped(pieces, width):
            self._bottom += _LINE
            spans = "".join(f'<tspan class="{style}">{escape(text)}</tspan>' for text, style in line)
            self._parts.append(f'<text x="{left}" y="{self._bottom}">{spans}</text>')

    def svg(self) -> str:
        height = self._bottom + 24
        body = "\n".join(self._parts)
        return f"""\
<svg viewBox="0 0 {_WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img" aria-label="The Slack message of a run">
<style>
{_STYLE}
</style>
<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8" fill="#fff" stroke="#ddd"/>
<rect x="24" y="24" width="36" height="36" rx="6" fill="#4a154b"/>
<text x="33" y="48" style="font-size: 18px; fill: #fff">⚙</text>
<text x="{_LEFT}" y="38"><tspan class="b">batch-worker</tspan><tspan class="a">  APP  </tspan><tspan class="s">06:30</tspan></text>
{body}
</svg>
"""


def _pieces(text: str) -> Iterator[Piece]:
    """Read Slack's mrkdwn, as far as the message uses it."""
    at = 0
    for match in _SPAN.finditer(text):
        if match.start() > at:
            yield Piece(unescape(text[at : match.start()]), "")
        bold, code, label = match["bold"], match["code"], match["label"]
        yield Piece(unescape(bold or code or label), "b" if bold else "c" if code else "l")
        at = match.end()
    if at < len(text):
        yield Piece(unescape(text[at:]), "")


def _wrapped(pieces: list[Piece], width: int) -> Iterator[list[Piece]]:
    """Break lines between words, by the usual width of a letter: who looks at the picture has a font of their own."""
    line: list[Piece] = []
    used = 0.0
    for text, style in pieces:
        for word in re.findall(r"\S+\s*|\s+", text):
            length = len(word) * {"h": 10.5, "c": 7.6, "s": 7.2, "b": 9.0}.get(style, 8.2)
            if line and used + length > width:
                yield line
                line, used = [], 0.0
            line.append(Piece(word, style))
            used += length
    yield line
