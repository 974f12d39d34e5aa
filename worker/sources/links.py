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


_LINK = re.compile(r"""<([^>]*)>((?:\s*;\s*[\w!#$%&'*+.^`|~-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))?)*)""")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))""", re.IGNORECASE)


def next_page(answer: Answer) -> str | None:
    """Give the URL of the page that an answer says is next. Raises Permanent for one on another host."""
    for target, parameters in _LINK.findall(answer.headers.get("link") or ""):
        relation = _REL.search(parameters)
        if relation is not None and "next" in (relation[1] or relation[2]).lower().split():
            url: str = urljoin(answer.url, target)
            if _origin(url) != _origin(answer.url):
                raise Permanent(
                    f"the list at {_origin(answer.url)} goes on at {_origin(url)}, which is not followed: credentials would go there",
                    "ListLeavesHost",
                )
            return url
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
