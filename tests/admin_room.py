"""What the tests of the admin API share: jobs, a run store on a folder, and a served API with a client."""

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.response import Response

from worker import Job, Scope, Secret
from worker.admin import tokens
from worker.admin.asked import Asked, asked
from worker.admin.children import Children
from worker.admin.routes import app
from worker.admin.server import listen, serve
from worker.mask import Mask
from worker.runs import LetterView, Place, RunPage, RunView
from worker.scope import parse, whole
from worker.stop import Stop

CHILD = Path(__file__).with_name("admin_child.py")
QA = tokens.make("qa", ["read", "start:*", "stop:*", "replay:*"])


class PollScope(Scope):
    """Fields of several kinds."""

    act: str | None = None
    merchant_id: int | None = None
    region: str | None = "eu"
    ids: tuple[int, ...] = ()
    secret: Secret | None = None


class PollPayments(Job[PollScope]):
    """A job that the stand-in process runs."""

    name = "poll-payments"


class SyncCustomers(Job[PollScope]):
    """Another one."""

    name = "sync-customers"


JOBS: dict[str, type[Job[Any]]] = {"poll-payments": PollPayments, "sync-customers": SyncCustomers}


class FolderRuns:
    """A run store of one JSON file a run: the test and the child processes both write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, **fields: Any) -> None:
        """Record a run as another server's attempt would."""
        fields = {"run_id": f"{fields['job']}:{fields['run_key']}", "created_at": "2026-11-23T06:00:00Z", **fields}
        (self.folder / f"{fields['run_id']}.json").write_text(json.dumps(fields))

    async def find(self, run_id: str) -> RunView | None:
        """Find a run; others may be asked about meanwhile, as with a database."""
        await asyncio.sleep(0.005)
        file = self.folder / f"{run_id}.json"
        return msgspec.json.decode(file.read_bytes(), type=RunView) if file.exists() else None

    async def scope_hash(self, run_id: str) -> str | None:
        """Hash the scope of a run as the worker does; what its file says where that is said."""
        file = self.folder / f"{run_id}.json"
        if not file.exists():
            return None
        values = json.loads(file.read_bytes())
        scope = parse(PollScope, values.get("whole_scope", values.get("scope", {})))
        return hashlib.sha256(whole(scope)).hexdigest()

    async def holder(self, lease: str) -> RunView | None:
        """Find the running run of a job."""
        await asyncio.sleep(0)
        return next((run for run in self.all() if run.status == "running" and run.job == lease), None)

    async def page(self, job: str | None, status: str | None, before: Place | None, limit: int) -> RunPage:
        """Give the next runs, newest first."""
        runs = sorted(self.all(), key=lambda run: (run.created_at, run.run_id), reverse=True)
        chosen = [
            run
            for run in runs
            if job in (None, run.job)
            and status in (None, run.status)
            and (before is None or (run.created_at, run.run_id) < before)
        ]
        return RunPage(
            chosen[:limit],
            Place(chosen[limit - 1].created_at, chosen[limit - 1].run_id) if len(chosen) >= limit else None,
        )

    async def dead_letters(self, run_id: str, limit: int, after: list[Any] | None = None) -> list[LetterView]:
        """Give the letters that a run's file has."""
        file = self.folder / f"{run_id}.json"
        letters = json.loads(file.read_bytes()).get("letters", []) if file.exists() else []
        found = [msgspec.convert(letter, LetterView) for letter in letters]
        return [letter for letter in found if after is None or letter.key > after][:limit]

    def all(self) -> list[RunView]:
        """Read all runs."""
        return [msgspec.json.decode(file.read_bytes(), type=RunView) for file in self.folder.glob("*:*.json")]


class Room:
    """A served API: its store, its processes, the lines they said, and a client that holds a token."""

    def __init__(self, folder: Path, most: int) -> None:
        self.runs = FolderRuns(folder)
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        argv = (sys.executable, str(CHILD), str(folder))
        self.children = Children(argv, most=most, mask=Mask(["s3cret-of-ours"]), say=self.hear)
        self.stop = Stop()
        self.client: Client
        self.port = 0

    def hear(self, line: bytes) -> None:
        """Note a line that a process said."""
        self.lines.put_nowait(json.loads(line))

    async def post(self, job: str, **body: Any) -> tuple[Response, Any]:
        """Ask for a run and give response and document."""
        response = await self.client.post(f"/admin/{job}").body_json(body).build().send()
        return response, await response.json()

    async def get(self, path: str) -> tuple[Response, Any]:
        """Get a path."""
        response = await self.client.get(path).build().send()
        return response, await response.json()

    async def said(self, event: str) -> dict[str, Any]:
        """Wait until a process says this."""
        while (line := await self.lines.get())["event"] != event:
            pass
        return line


def ask(job: str = "poll-payments", **values: Any) -> Asked:
    """Ask for a run without HTTP."""
    return asked(JOBS[job], values)


@asynccontextmanager
async def served(
    folder: Path,
    *,
    most: int = 4,
    starts_a_minute: int = 30,
    requests_a_second: int = 300,
    stop_timeout_s: float = 5,
    trusted_proxies: Sequence[str] = (),
    known: tokens.Tokens | None = None,
    jobs: Mapping[str, type[Job[Any]]] = JOBS,
) -> AsyncIterator[Room]:
    """Serve the API on a free port, in this loop, with real processes behind it."""
    room = Room(folder, most)
    listener = listen("127.0.0.1", 0)
    let_in = known or tokens.parse(QA.entry)
    api = app(
        jobs,
        room.runs,
        room.children,
        let_in,
        starts_a_minute=starts_a_minute,
        requests_a_second=requests_a_second,
    )
    room.port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{room.port}"
    serving = asyncio.create_task(serve(api, room.children, listener, room.stop, stop_timeout_s, trusted_proxies))
    headers = {"Authorization": f"Bearer {QA.token}"}
    try:
        async with ClientBuilder().base_url(address).default_headers(headers).build() as room.client:
            yield room
    finally:
        room.stop.ask("the test is over")
        await serving
