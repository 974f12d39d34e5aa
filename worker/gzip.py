"""Unpack and pack gzip piece by piece, in flat memory. No I/O in here."""

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

_PIECE = 256 * 1024
_GZIP = 31
"""What zlib calls the gzip format, checksum included."""


class Inflater:
    """Unpack gzip piece by piece, of several members too. Raises ValueError where it is none, or damaged."""

    def __init__(self) -> None:
        self._member: Any = zlib.decompressobj(_GZIP)

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Give the bytes that come out, in pieces of bounded size."""
        while packed:
            if self._member.eof:  # another member, or padding
                packed = packed.lstrip(b"\0")
                if not packed:
                    return
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(packed, _PIECE)
            except zlib.error as error:
                raise ValueError(f"is no gzip, or damaged: {error}") from error
            if piece:
                yield piece
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        """Hold that nothing is missing."""
        if not self._member.eof:
            raise ValueError("is cut short: its gzip ends in the middle")


async def packed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pack chunks; the same bytes always give the same, for there is no time in the header."""
    packer = zlib.compressobj(wbits=_GZIP)
    async for chunk in chunks:
        if piece := packer.compress(chunk):
            yield piece
    yield packer.flush()
