"""worker.admin.app() in a service of one's own: the one that docs/admin.md shows, under the server that such services run on."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from admin_room import QA
from admin_serving import ROOT
from pyreqwest.client import Client, ClientBuilder

import worker.admin
from worker.cli.database import migrated
from worker.errors import Faults

_JOB = '''\
"""Count to ten, slowly where that is asked for."""

import asyncio

from worker import Job, Limits, Outcome, Record, Run, Scope, Source, done, postgres


class Counting(Scope):
    seconds: float = 0.0


class CountToTen(Job[Counting]):
    limits = Limits(concurrency=1)

    def source(self, run: Run[Counting]) -> Source:
        return postgres.query("SELECT n AS id FROM generate_series(1, 10) n", key="id")

    async def process(self, record: Record, run: Run[Counting]) -> Outcome:
        await asyncio.sleep(run.scope.seconds)
        return done()
'''


@asynccontextmanager
async def served(folder: Path, database_url: str, application: str) -> AsyncIterator[Client]:
    """Run the document's service by uvicorn's own command, and hold that it ends well."""
    document = (ROOT / "docs" / "admin.md").read_text()
    (folder / "service.py").write_text(
        "".join(re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE))
    )
    (folder / "jobs").mkdir()
    (folder / "jobs" / "__init__.py").touch()
    (folder / "jobs" / "count_to_ten.py").write_text(_JOB)
    known = {"DATABASE_URL": database_url, "ADMIN_TOKEN_HASHES": QA.entry, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", application, "--port", "0"),
        cwd=folder,
        env={**os.environ, **known},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    said = ""
    while not (found := re.search(r"running on (http://\S+)", said)):
        line = await process.stderr.readline()
        assert line, said
        said += line.decode()
    headers = {"Authorization": f"Bearer {QA.token}"}
    try:
        async with ClientBuilder().base_url(found[1]).default_headers(headers).build() as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()
    assert "Traceback" not in rest.decode()


async def asked(client: Client, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Ask, and give status and document."""
    request = client.get(path) if body is None else client.post(path).body_json(body)
    response = await request.build().send()
    return response.status, await response.json()


@pytest.mark.parametrize(("application", "at"), [("service:service", "/batch"), ("service:batch", "")])
async def test_mounted_api_starts_shows_and_stops_runs(
    tmp_path: Path, database_url: str, application: str, at: str
) -> None:
    """Under the service's path, or as all that is served: the API, health, the console; the end of the service stops its runs."""
    await migrated(database_url)
    async with served(tmp_path, database_url, application) as client:
        assert await asked(client, f"{at}/readyz") == (200, {"status": "ready"})
        status, run = await asked(client, f"{at}/admin/count-to-ten", {"wait": 30, "run_key": "first"})
        assert (status, run["status"], run["tally"]["done"]) == (200, "succeeded", 10)
        page = await client.get(f"{at}/console/").build().send()
        assert (page.status, "script-src 'self'" in (page.get_header("content-security-policy") or "")) == (200, True)
        started = client.post(f"{at}/admin/count-to-ten").body_json({"seconds": 1, "run_key": "second"})
        response = await started.build().send()
        place = response.get_header("location")
        assert (response.status, place) == (202, f"{at}/admin/runs/count-to-ten:second")
        assert place is not None
        while (await asked(client, place))[1]["status"] == "pending":  # noqa: ASYNC110 - it is another process that begins
            await asyncio.sleep(0.05)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT status FROM worker.runs WHERE run_key = 'second'") == "interrupted"
    await connection.close()


async def test_mounted_api_that_was_not_opened_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a token there is nothing to be opened."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    monkeypatch.setenv("ADMIN_TOKEN_HASHES", QA.entry)
    with pytest.raises(RuntimeError, match="not open: `async with`"):
        await worker.admin.app()({"type": "http"}, _nothing, _nothing)
    monkeypatch.delenv("ADMIN_TOKEN_HASHES")
    with pytest.raises(Faults, match="python -m worker token new"):
        worker.admin.app()


async def _nothing(*_: Any) -> Any:
    raise AssertionError("nothing is heard or said")
