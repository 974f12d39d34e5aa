"""The lines of one S3 object, from any of them on: streamed, unpacked and split in flat memory."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from worker.boto import Client
from worker.errors import Permanent
from worker.gzip import Inflater
from worker.lines import Line, Reading, Row, Splitter
from worker.objects import Body
from worker.source import Key, Record


class ObjectLines:
    """Read on behind the line with the key `after`, in the version of the object that `found` describes.

    A call that raised Transient may be made again: nothing that was read is lost.
    """

    def __init__(
        self, client: Client, bucket: str, found: Record, reading: Reading, *, gzip: bool, after: Key | None = None
    ) -> None:
        number, _, start = after or (0, 0, 0)
        self._body = Body(
            client,
            bucket,
            found["key"],
            start=0 if gzip else start,
            end=found["size"],
            version=found["version"],
            etag=found["etag"],
        )
        self._reading = reading
        self._inflater = Inflater() if gzip else None
        self._pieces: Iterator[bytes] = iter(())
        self._to_skip = start if gzip else 0
        self._splitter = Splitter(quoted=reading.form == "csv", number=number, start=start)
        self._lines: deque[Line] = deque()
        self._ended = False
        self._damage: Permanent | None = None
        self.after: Key | None = after
        """The key of the line that was given out last."""

    @property
    def exhausted(self) -> bool:
        """Tell whether the last line was given out."""
        return self._ended and not self._lines

    async def begin(self) -> None:
        """Read up to the first line. Raises Permanent for what is no gzip, or has no header that can be used."""
        while not self._lines and not self._ended:
            await self._more()

    async def take(self, size: int) -> list[Line]:
        """Give the next lines; what cannot be read is raised, as Permanent, when all before it was given out."""
        try:
            while len(self._lines) < size and not self._ended:
                await self._more()
        except Permanent:
            if not self._lines:
                raise
        taken = [self._lines.popleft() for _ in range(min(size, len(self._lines)))]
        self.after = taken[-1].key if taken else self.after
        return taken

    async def find(self, start: int) -> Line | None:
        """Read on to the line that begins there."""
        while lines := await self.take(1):
            if lines[0].start >= start:
                return lines[0] if lines[0].start == start else None
        return None

    def close(self) -> None:
        """Let go of the connection."""
        self._body.close()

    async def _more(self) -> None:
        if self._damage:
            raise self._damage
        try:
            piece = next(self._pieces, None)
            if piece is None:
                self._pieces = self._opened(await self._body.read())
                return
            skipped = min(self._to_skip, len(piece))
            self._to_skip -= skipped
            self._book(self._splitter.feed(piece[skipped:]))
        except ValueError as error:
            self._damage = Permanent(f"{self._body} {error}", "DamagedObject")
        except Permanent as error:
            self._damage = error
        if self._damage:
            raise self._damage
        await asyncio.sleep(0)  # a piece takes milliseconds: everybody else has a turn

    def _opened(self, chunk: bytes) -> Iterator[bytes]:
        """Unpack what was read; at the end of the object, book its last line."""
        if chunk:
            return self._inflater.feed(chunk) if self._inflater else iter((chunk,))
        if self._inflater:
            self._inflater.finish()
        self._book(self._splitter.finish())
        self._ended = True
        return iter(())

    def _book(self, rows: Iterable[Row]) -> None:
        self._lines.extend(line for row in rows if (line := self._reading(row)) is not None)
