"""Make foreign text harmless in a Slack message: no mention, no formatting, no control character, no secret, not too long.

Slack's "Formatting text for app surfaces": `&`, `<` and `>` are the characters to escape; what formats (`*`, `_`, `~`,
backticks, `:emoji:`) cannot be escaped, but is left alone inside a code span.
"""

import re
import unicodedata
from collections.abc import Callable

_FORMATS = re.compile(r"[*_~`]|:[\w+'-]+:|^\s*(?:>|[-•] |\d+\. )")
_ADDRESS = re.compile(r"https?://[!#-;=?-_a-{}~]+")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LONGEST_READ = 200_000


def cleaned(text: str, mask: Callable[[str], str], longest: int) -> str:
    """Put a text on one line of at most that many characters, masked, without control and direction characters."""
    text = mask(text[:_LONGEST_READ])
    line = mask(" ".join("".join(map(_visible, text[: 20 * longest + 1_000])).split()))
    return line if len(line) <= longest else line[: max(0, longest - 1)] + "…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs") and character != "\u200d" else character  # the joiner makes family emoji


def code(line: str) -> str:
    """Show a cleaned line as it is, in a code span."""
    return f"`{line.replace('`', 'ˋ').translate(_ESCAPES) or '–'}`"


def words(line: str) -> str:
    """Show a cleaned line as plain words where nothing in it would format, else as code."""
    return code(line) if _FORMATS.search(line) else line.translate(_ESCAPES)


def link(url: str, label: str, longest: int) -> str | None:
    """Give a link; None for what is no web address, or longer than that many characters."""
    escaped = url.replace("&", "&amp;")
    if not _ADDRESS.fullmatch(url) or len(escaped) > longest:
        return None
    return f"<{escaped}|{label.translate(_ESCAPES).replace('|', '/') or 'link'}>"


def length(text: str) -> int:
    """Count as Slack's clients do, in UTF-16 units: an emoji is two."""
    return len(text.encode("utf-16-le", "replace")) // 2
