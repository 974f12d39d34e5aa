"""Put objects into an S3 bucket and stream them out of it, in flat memory whatever their size."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from gzip import compress
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote, urlsplit

from worker.boto import Client
from worker.errors import Permanent, WorkerError
from worker.gzip import Inflater, packed
from worker.job import Run
from worker.lines import Form, Reading, Writing
from worker.object_lines import ObjectLines
from worker.objects import CHUNK, SOURCE, Body, again, head
from worker.source import Record

_PART = 8 * 1024 * 1024
"""Bytes of one part of an upload, which S3 wants to be 5 MiB or more; it takes 10,000 of them."""
_LINES = 200
_NAMED = 3


class Bucket:
    """One bucket: `self.reports = await run.enter(Bucket(run, run.environment["REPORTS_BUCKET"]))`.

    `limit` names a further rate limit of which each call takes a permit. A dry run reads, and refuses to write.
    """

    def __init__(self, run: Run[Any], name: str, *, limit: str | None = None) -> None:
        self.name, self._dry_run = name, run.dry_run
        self._client = Client(run, "s3", limit=limit)

    async def __aenter__(self) -> "Bucket":
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.__aexit__(*exc_info)

    async def head(self, key: str, version: str | None = None) -> Record | None:
        """Give key, size, etag, last_modified, version and source of an object; None: it is not there."""
        return await head(self._client, self.name, key, version)

    async def keys(self, prefix: str = "") -> list[str]:
        """List the keys under a prefix; for few of them: many are for the source `s3.objects`."""
        found: list[str] = []
        async for page in self._client.pages("list_objects_v2", Bucket=self.name, Prefix=prefix):
            found += [entry["Key"] for entry in page.get("Contents", ())]
        return found

    async def stream(
        self, key: str, version: str | None = None, *, etag: str | None = None, gzip: bool = False
    ) -> AsyncIterator[bytes]:
        """Give an object's bytes in chunks, over cut connections too; `gzip` unpacks them.

        Raises Permanent for an object that is replaced meanwhile, does not have that ETag, or is no gzip.
        """
        body, inflater = Body(self._client, self.name, key, version=version, etag=etag), Inflater()
        try:
            while chunk := await body.read():
                for piece in inflater.feed(chunk) if gzip else (chunk,):
                    yield piece
            if gzip:
                inflater.finish()
        except ValueError as error:
            raise Permanent(f"{body} {error}", "DamagedObject") from error
        finally:
            body.close()

    async def lines(
        self, key: str, version: str | None = None, *, form: Form = "jsonl", gzip: bool | None = None
    ) -> AsyncIterator[Record]:
        """Give the lines of an object as records, as the source `s3.lines` does; a broken line raises when it is looked into."""
        found = await self.head(key, version)
        if found is None:
            raise Permanent(f"s3://{self.name}/{key} is not there", "NoSuchKey")
        lines = ObjectLines(self._client, self.name, found, Reading(form), gzip=_is_packed(key, gzip))
        try:
            while taken := await lines.take(_LINES):
                for line in taken:
                    yield line
        finally:
            lines.close()

    async def put(self, key: str, body: bytes, *, content_type: str | None = None, source: str | None = None) -> None:
        """Write a whole object, in place of what was there; the end of its key tells its type, unless that is said.

        `source` is what `is_made_of` compares.
        """
        await self._call("put_object", Key=key, Body=body, **_told(content_type or guess_type(key)[0], source))

    async def update(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Put those files that differ from what is there, and give them; a dry run gives them alone."""
        differing = {key: body for key, body in files.items() if not await self._holds(key, body)}
        if not self._dry_run:
            for key, body in differing.items():
                await self.put(key, body)
        return differing

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        source: str | None = None,
    ) -> int:
        """Write an object from chunks, of which two parts are held at most; give its size.

        The object appears when all of it is there, or not at all: what fails in the middle is aborted. (A killed process
        cannot: give the bucket a lifecycle rule for incomplete uploads.)
        """
        parts = _parts(chunks)
        first = await anext(parts, b"")
        second = await anext(parts, None)
        if second is None:
            await self.put(key, first, content_type=content_type, source=source)
            return len(first)
        upload = (await self._call("create_multipart_upload", Key=key, **_told(content_type, source)))["UploadId"]
        try:
            return await self._send(key, upload, first, second, parts)
        except BaseException:
            with contextlib.suppress(WorkerError):
                await self._call("abort_multipart_upload", Key=key, UploadId=upload)
            raise

    async def upload_lines(
        self,
        key: str,
        records: AsyncIterator[Mapping[str, Any]],
        *,
        form: Form = "jsonl",
        gzip: bool | None = None,
        source: str | None = None,
    ) -> int:
        """Write records as the lines of an object, as `lines` reads them; give its size. The same records make the same object."""
        line = Writing(form)
        chunks = _joined(line(record) async for record in records)
        return await self.upload(key, packed(chunks) if _is_packed(key, gzip) else chunks, source=source)

    async def is_made_of(self, source: str, key: str) -> bool:
        """Tell whether an object is there that was written with this `source`, such as the ETag of what it was made of."""
        found = await self.head(key)
        return found is not None and found["source"] == source

    async def announce(self, manifest: str, names: Iterable[str], suffix: str) -> None:
        """Write down which objects there will be beside the manifest, for whoever needs all of them to hold them to it, by `lacking`.

        One that was announced before and has nothing in it any more stays announced, and is emptied (`suffix` ends in .gz): so what
        was made of it goes, too.
        """
        wanted, known = set(names), set(await self._names(manifest))
        for name in sorted(known - wanted):
            await self.put(f"{manifest.rpartition('/')[0]}/{name}{suffix}", compress(b"", mtime=0))
        announced = "".join(f"{name}\n" for name in sorted(wanted | known))
        await self.put(manifest, announced.encode(), content_type="text/plain")

    async def lacking(self, manifest: str, prefix: str) -> list[str]:
        """Find, in words for a job's `check`, which objects announced in a manifest are not under a prefix, whatever their suffix."""
        if await self.head(manifest) is None:
            return [f"s3://{self.name}/{manifest} is not there: run the step that writes it first"]
        names = await self._names(manifest)
        there = {key.removeprefix(prefix).partition(".")[0] for key in await self.keys(prefix)}
        lacking = [name for name in names if name not in there]
        told = f"s3://{self.name}/{prefix} lacks {len(lacking)} of the {len(names)} parts in {manifest}"
        return [f"{told} ({', '.join(lacking[:_NAMED])}): let the step before come to its end first"] if lacking else []

    def address(self, key: str) -> str:
        """Give where an object is seen in the AWS console, by who may: unlike `link` it gives nothing away and never ends."""
        region, endpoint, path = self._client.region, self._client.endpoint, quote(key)
        if not urlsplit(endpoint).netloc.endswith(".amazonaws.com"):
            return f"{endpoint}/{self.name}/{path}"  # an S3 of another make
        return f"https://{region}.console.aws.amazon.com/s3/object/{self.name}?region={region}&prefix={path}"

    async def link(self, key: str, seconds: int) -> str:
        """Give a URL by which anybody may read an object for so long, or until the task's own credentials end, in hours."""
        asked = {"Bucket": self.name, "Key": key}
        url: str = await self._client.call(
            "generate_presigned_url", ClientMethod="get_object", Params=asked, ExpiresIn=seconds
        )
        return url

    async def _names(self, manifest: str) -> list[str]:
        if await self.head(manifest) is None:
            return []
        return [line["text"] async for line in self.lines(manifest, form="text")]

    async def _holds(self, key: str, body: bytes) -> bool:
        """Tell whether an object is there with just these bytes."""
        found = await self.head(key)
        if found is None or found["size"] != len(body):
            return False
        return b"".join([chunk async for chunk in self.stream(key)]) == body

    async def _send(self, key: str, upload: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> int:
        sent = [await self._send_part(key, upload, 1, first), await self._send_part(key, upload, 2, second)]
        size = len(first) + len(second)
        del first, second
        async for part in rest:
            sent.append(await self._send_part(key, upload, len(sent) + 1, part))
            size += len(part)
        await self._call("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": sent})
        return size

    async def _send_part(self, key: str, upload: str, number: int, body: bytes) -> dict[str, Any]:
        answer = await again(lambda: self._call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body))
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **sums}

    async def _call(self, operation: str, **arguments: Any) -> Any:
        return await self._client.call(operation, Bucket=self.name, **arguments)


async def _parts(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather chunks into parts; all but the last have the same size, as S3-compatible stores want it."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        while len(gathered) >= _PART:
            yield bytes(gathered[:_PART])
            del gathered[:_PART]
    if gathered:
        yield bytes(gathered)


async def _joined(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather lines, which are small, into chunks."""
    gathered = bytearray()
    async for line in lines:
        gathered += line
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _is_packed(key: str, gzip: bool | None) -> bool:
    return key.endswith(".gz") if gzip is None else gzip


def _told(content_type: str | None, source: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {} if content_type is None else {"ContentType": content_type}
    return told if source is None else told | {"Metadata": {SOURCE: source}}
