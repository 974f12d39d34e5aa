"""Find the next page of a list in the `Link` headers of an answer (RFC 8288)."""

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from worker.errors import Permanent


class Answer(Protocol):
    """What `by_link` needs of an answer: where it came from, its headers and its JSON."""

    @property
    def url(self) -> str:
        """Give the URL that was asked."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Give the headers, by their names in any case."""
        ...

    def json(self) -> Any:
        """Decode the body."""
        ...


_PARAMETER = r""";\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?\s*"""
_LINK = re.compile(rf"<([^>]*)>\s*((?:{_PARAMETER})*)")


def next_page(answer: Answer) -> str | None:
    """Give the URL of the page that an answer says is next. Raises Permanent for one on another host."""
    said = ", ".join(value for name, value in answer.headers.items() if name.lower() == "link")
    for link in _LINK.finditer(said):
        if "next" in _relations(link[2]):
            url: str = urljoin(answer.url, link[1])
            if _origin(url) != _origin(answer.url):
                raise Permanent(
                    f"the list at {_origin(answer.url)} goes on at {_origin(url)}, which is not followed: credentials would go there",
                    "ListLeavesHost",
                )
            return url
    return None


def _relations(parameters: str) -> list[str]:
    """Give the relation types: those of the first `rel`, as the RFC has it."""
    for name, quoted, plain in re.findall(_PARAMETER, parameters):
        if name.lower() == "rel":
            return f"{quoted}{plain}".lower().split()
    return []


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
