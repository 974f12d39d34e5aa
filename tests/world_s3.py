"""Objects in a bucket, and the lines of one object: plain or packed, JSON or CSV."""

import gzip
import json
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

from aws import Aws

from worker import Run, Scope
from worker.lines import Form
from worker.source import Record, Source
from worker.sources import s3


class S3World:
    """A bucket, and runs whose clients are closed at the end."""

    lacks: dict[str, str] = {}  # noqa: RUF012 - what a world says of itself

    def __init__(self, aws: Aws) -> None:
        self._aws, self._bucket = aws, aws.bucket()
        self._versions: dict[int, int] = {}
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._opened.aclose()

    async def insert(self, ids: Iterable[int]) -> None:
        """Add what is not there."""
        fresh = {number: 0 for number in ids if number not in self._versions}
        self._versions |= fresh
        self._put(fresh)

    async def delete(self, ids: Iterable[int]) -> None:
        """Take away what is there."""
        gone = [number for number in ids if self._versions.pop(number, None) is not None]
        self._take(gone)

    async def change(self, ids: Iterable[int]) -> None:
        """Write anew."""
        changed = {number: self._versions[number] + 1 for number in ids if number in self._versions}
        self._versions |= changed
        self._put(changed)

    def _run(self) -> Run[Scope]:
        return Run("job", "key", Scope(), resources=self._opened)

    def _put(self, versions: dict[int, int]) -> None:
        raise NotImplementedError

    def _take(self, ids: list[int]) -> None:
        raise NotImplementedError


class ObjectsWorld(S3World):
    """An object a record, as large as its version; every third key under the prefix is of no interest."""

    async def source(self) -> Source:
        """Give a listing of the bucket."""
        source = s3.objects(self._run(), self._bucket, "in/", suffix=".txt")
        assert await source.check() == []
        return source

    def id(self, record: Record) -> int:
        """Read the id in the key."""
        return int(record["key"][3:-4])

    def version(self, record: Record) -> int:
        """Give the size."""
        return int(record["size"])

    def _put(self, versions: dict[int, int]) -> None:
        bodies = {f"in/{number:07}.txt": "x" * version for number, version in versions.items()}
        self._aws.put(self._bucket, bodies | {f"in/{number:07}.old": "" for number in versions if number % 3 == 0})

    def _take(self, ids: list[int]) -> None:
        for number in ids:
            self._aws.s3.delete_object(Bucket=self._bucket, Key=f"in/{number:07}.txt")


class LinesWorld(S3World):
    """A line a record, among blank ones, in one object."""

    lacks = {  # noqa: RUF012 - what a world says of itself
        "insert": "an object that was replaced is another one",
        "delete": "an object that was replaced is another one",
        "change": "an object that was replaced is another one",
    }

    def __init__(self, aws: Aws, form: Form, key: str) -> None:
        super().__init__(aws)
        self._form, self._key = form, key
        self._put({})

    async def source(self) -> Source:
        """Give the lines of the object as it is now."""
        source = s3.lines(self._run(), self._bucket, self._key, form=self._form)
        assert await source.check() == []
        return source

    def id(self, record: Record) -> int:
        """Give the id in the line."""
        return int(record["id"])

    def version(self, record: Record) -> int:
        """Tell that a line never changes."""
        return 0

    def _put(self, versions: dict[int, int]) -> None:
        lines = [self._line(number) for number in sorted(self._versions)]
        body = ("id,name\n" if self._form == "csv" else "") + "".join(lines)
        data = body.encode()
        packed = gzip.compress(data) if self._key.endswith(".gz") else data
        self._aws.s3.put_object(Bucket=self._bucket, Key=self._key, Body=packed)

    def _line(self, number: int) -> str:
        if self._form == "csv":
            return f'{number},"item\nno. ""{number}"""\r\n'
        return json.dumps({"id": number, "name": f"item no. {number}"}) + "\n" * (1 + number % 3)


def lines(form: Form, key: str) -> Callable[[Aws], LinesWorld]:
    """Make a world of the lines of such an object."""

    def made(aws: Aws) -> LinesWorld:
        return LinesWorld(aws, form, key)

    return made


WORLDS: dict[str, Callable[..., Any]] = {
    "s3 objects": ObjectsWorld,
    "s3 lines": lines("jsonl", "lines.jsonl"),
    "s3 lines packed": lines("jsonl", "lines.jsonl.gz"),
    "s3 lines of csv": lines("csv", "lines.csv"),
}
