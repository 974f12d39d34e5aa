"""What an HTTP call gave: status, headers, and a body that was read to its end."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

import msgspec

from worker.errors import Permanent, Transient

T = TypeVar("T")

_PREVIEW = 200
_READ_FOR_PREVIEW = 1_000


class Response:
    """An answer; `headers` are found by their names in any case."""

    __slots__ = ("_asked", "body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, asked: tuple[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._asked = asked

    @property
    def url(self) -> str:
        """Give the URL that was asked; what is in its query may be secret."""
        return self._asked[1]

    def __str__(self) -> str:
        """Say who answered what, without query, user and password: they may be secrets."""
        method, url = self._asked
        return f"{host_of(url)} answered {self.status} to {method} {urlsplit(url).path!r}"

    @property
    def preview(self) -> str:
        """Give the beginning of the body as one line of printable text."""
        text = self.body[:_READ_FOR_PREVIEW].decode(errors="replace")
        printable = "".join(char if char.isprintable() else " " for char in text)
        return " ".join(printable.split())[:_PREVIEW]

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    def json(self, type: Any = Any) -> Any:  # noqa: A002
        """Decode the body into a type: Transient where it is not JSON at all, Permanent where it does not fit the type."""
        try:
            return _decoder(type).decode(self.body)
        except msgspec.ValidationError as error:
            raise Permanent(f"{self} with JSON that does not fit: {error}", "unexpected answer") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Transient(f"{self} with what is not JSON: {self.preview}") from error


def host_of(url: str) -> str:
    """Name the host and port of a URL, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


@cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:  # noqa: A002
    return msgspec.json.Decoder(type)
