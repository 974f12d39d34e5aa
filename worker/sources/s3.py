"""Read S3: the objects under a prefix, one of them, or the lines in one of them."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from worker.boto import Client
from worker.errors import Permanent
from worker.job import Run
from worker.lines import Form
from worker.objects import described, head
from worker.source import Bounds, JsonKey, Key, Page, Promise, Record, part
from worker.sources.s3_lines import S3Lines

_LISTED = 1_000
"""Objects that one listing gives at most."""
_COUNTED = 10
"""Listings that counting may take; whoever has more objects does without."""
_DIVIDED = 1_000
"""Listings that dividing may take."""
_AT_ONCE = 16


def objects(
    run: Run[Any],
    bucket: str,
    prefix: str = "",
    *,
    suffix: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> "S3Objects":
    """Read the objects under a prefix in the order of their keys: `record["key"]`, size, etag, last_modified.

    `suffix` narrows them by the end of their keys, `since` (inclusive) and `until` (exclusive) by when they were written.
    """
    return S3Objects(run, bucket, prefix, suffix, since, until)


def one(run: Run[Any], bucket: str, key: str, version: str | None = None) -> "S3Object":
    """Read the one object that an event names, in the version that it names; an object that is not there is a fault."""
    return S3Object(run, bucket, key, version)


def lines(
    run: Run[Any],
    bucket: str,
    key: str,
    *,
    version: str | None = None,
    form: Form = "jsonl",
    gzip: bool | None = None,
) -> S3Lines:
    """Read the lines of one object as records: JSON objects, rows of a CSV file with a header, or texts (`record["text"]`).

    A key that ends in .gz is unpacked, unless `gzip` says otherwise. What cannot be read fails as a record, with its position.
    """
    return S3Lines(run, bucket, key, version=version, form=form, gzip=gzip)


class _S3:
    """What the sources of objects have in common: a client, and keys that are texts."""

    promise = Promise.STABLE

    def __init__(self, run: Run[Any], bucket: str) -> None:
        self._run, self._bucket = run, bucket
        self._opened: Client | None = None

    def key(self, record: Record) -> Key:
        """Give an object's key."""
        return (record["key"],)

    def encode(self, key: Key) -> JsonKey:
        """Give the key as it is: a text."""
        return list(key)

    def decode(self, key: JsonKey) -> Key:
        """Read what `encode` gave."""
        (name,) = key
        return (str(name),)

    @property
    def _client(self) -> Client:
        assert self._opened is not None, "a source is checked before it is read"
        return self._opened

    async def _open(self) -> None:
        if self._opened is None:
            self._opened = await self._run.enter(Client(self._run, "s3"))


class S3Objects(_S3):
    """A listing, from any key on."""

    def __init__(
        self,
        run: Run[Any],
        bucket: str,
        prefix: str,
        suffix: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        super().__init__(run, bucket)
        if any(moment is not None and moment.tzinfo is None for moment in (since, until)):
            raise ValueError("since and until need a time zone: datetime.now(UTC)")
        self._prefix, self._suffix, self._since, self._until = prefix, suffix or "", since, until
        self._first: str | None = None
        self._last: str | None = None
        self.order = f"key of s3://{bucket}/{prefix}"

    async def check(self) -> list[str]:
        """Try a listing: is the bucket there, and may it be listed."""
        await self._open()
        try:
            await self._list(None, 1)
        except Permanent as error:
            return [f"s3://{self._bucket}/{self._prefix} cannot be listed: {error}"]
        return []

    async def page(self, after: Key | None, size: int) -> Page:
        """List the next objects; what is not selected may leave none of them."""
        found, beyond = await self._list(after, min(size, _LISTED))
        return Page([record for record in found if self._selects(record)], beyond)

    async def bounds(self, parts: int) -> Bounds:
        """Find the keys that divide the objects into parts of equal size, by listing them. Raises Permanent for too many."""
        names: list[str] = []
        after: Key | None = None
        for _ in range(_DIVIDED):
            page = await self.page(after, _LISTED)
            names += [record["key"] for record in page.records]
            after = page.after
            if after is None:
                places = sorted({len(names) * number // parts for number in range(1, parts)} - {0})
                return [[names[place - 1]] for place in places]
        raise Permanent(
            f"s3://{self._bucket}/{self._prefix} has more than {_DIVIDED * _LISTED:,} objects, too many to be divided by listing "
            "them: divide them by the scope, into prefixes",
            "CannotDivide",
        )

    def narrow(self, number: int, parts: int, bounds: Bounds) -> None:
        """Read one part alone."""
        ends = part(number, parts, bounds)
        self._first, self._last = (None if end is None else end[0] for end in ends or (None, [""]))

    async def count(self, after: Key | None) -> int | None:
        """Count by listing, unless there are more than some thousands."""
        count = 0
        for _ in range(_COUNTED):
            page = await self.page(after, _LISTED)
            count, after = count + len(page.records), page.after
            if after is None:
                return count
        return None

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Ask for objects afresh."""
        found: list[Record | None] = []
        for first in range(0, len(keys), _AT_ONCE):
            asked = [head(self._client, self._bucket, name) for (name,) in keys[first : first + _AT_ONCE]]
            found += await asyncio.gather(*asked)
        return [record for record in found if record is not None and self._selects(record)]

    async def _list(self, after: Key | None, size: int) -> tuple[list[Record], Key | None]:
        start, until = self._first if after is None else after[0], self._last
        asked = {} if start is None else {"StartAfter": start}
        answer = await self._client.call(
            "list_objects_v2", Bucket=self._bucket, Prefix=self._prefix, MaxKeys=size, **asked
        )
        found = [described(entry["Key"], entry) for entry in answer.get("Contents", ())]
        beyond = self.key(found[-1]) if answer["IsTruncated"] else None
        if until is not None and found and found[-1]["key"].encode() >= until.encode():  # S3's order is that of bytes
            return [record for record in found if record["key"].encode() <= until.encode()], None
        return found, beyond

    def _selects(self, record: Record) -> bool:
        key, written = record["key"], record["last_modified"]
        return (
            key.endswith(self._suffix)
            and not (key.endswith("/") and record["size"] == 0)  # a folder, as consoles make them
            and (self._since is None or written >= self._since)
            and (self._until is None or written < self._until)
        )


class S3Object(_S3):
    """One object, in one version."""

    def __init__(self, run: Run[Any], bucket: str, key: str, version: str | None) -> None:
        super().__init__(run, bucket)
        self._name, self._version = key, version
        self.order = f"key of s3://{bucket}/{key}" + (f" in version {version}" if version else "")

    async def check(self) -> list[str]:
        """Look whether the object is there."""
        await self._open()
        try:
            there = await self.records([(self._name,)])
        except Permanent as error:
            return [f"the object of the {self.order} cannot be read: {error}"]
        return [] if there else [f"there is no object with the {self.order}"]

    async def page(self, after: Key | None, size: int) -> Page:
        """Ask for the object."""
        return Page(await self.records([(self._name,)]) if after is None else [], None)

    async def count(self, after: Key | None) -> int | None:
        """There is one."""
        return 1 if after is None else 0

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Ask for the object afresh."""
        found = [await head(self._client, self._bucket, name, self._version) for (name,) in keys]
        return [record for record in found if record is not None]
