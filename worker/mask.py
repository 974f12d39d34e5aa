"""Keep secrets out of everything that is written or sent."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MASK = "***"
_SHORTEST = 4
"""Shorter values are not secrets but words: masking them would garble every text."""

_SHAPES = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*):[^\s/@]+@"  # scheme://user:password@
    r"|(?P<header>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|\b(?:sk|rk|pk|whsec|xox[abpsr])[_-][A-Za-z0-9_-]{8,}"  # Stripe and Slack keys
    r"|(?P<signed>[?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|Signature|sig)=)[^&\s\"'<>]+"  # presigned URLs
    r"|(?P<hook>hooks\.slack\.com/services/)\S+"
)


class Mask:
    """Replace known secret values, and what looks like one, by `***`."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._values: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Learn one more secret; of a URL, the password in it too."""
        if not secret:
            return
        found = {secret, quote(secret, safe="")}
        if "://" in secret:
            found |= _passwords(secret)
        self._values = tuple(
            sorted({*self._values, *(value for value in found if len(value) >= _SHORTEST)}, key=len, reverse=True)
        )

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        return _SHAPES.sub(_shape, self.known(text))

    def known(self, text: str) -> str:
        """Give the text without the known values alone: a presigned URL still opens."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return text


def _passwords(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:  # no URL after all, as with a `[` in the password: the shapes catch what they can
        return set()
    return {password, unquote(password), dict(parse_qsl(parts.query)).get("password", "")}


def _shape(match: re.Match[str]) -> str:
    if match["scheme"]:
        return f"{match['scheme']}:{MASK}@"
    return (match["header"] or match["signed"] or match["hook"] or "") + MASK
