"""A real PostgreSQL out of a wheel's binaries: on 127.0.0.1, for as long as this process needs it."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from worker.errors import Faults
from worker.local.leash import Folder, die_with_parent
from worker.local.programs import installed, lent
from worker.local.unprivileged import account, closed_folder, give
from worker.local.words import last_words

_INITDB = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")

_SETTINGS = {
    # Nothing here outlives the machine's next reboot, so nothing needs to reach the disk. What a crash of the server alone
    # must not lose stays on: synchronous_commit hands each commit to the kernel, and tests crash the server.
    "fsync": "off",
    "full_page_writes": "off",
    # No replica reads it: a table filled in the transaction that made it (a seed) writes no log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
}


class Postgres:
    """A server of its own: `async with Postgres() as server: server.url`. No trace is left, however this process ends.

    `bin_dir` holds another PostgreSQL's programs. Start it from a thread that lives as long as it shall.
    """

    settings = _SETTINGS

    def __init__(self, bin_dir: Path | None = None) -> None:
        self._bin = bin_dir or installed()
        self._is_wheel = bin_dir is None
        self._account = account()
        self._port = 0
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """Give the URL of the database that every server has."""
        return self._url("postgres")

    @property
    def address(self) -> str:
        """Give host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """Give the variable that points at it."""
        return {"DATABASE_URL": self.url}

    async def where(self) -> str:
        """Say what it is and where."""
        return f"PostgreSQL {await self.version()} at {self.address}"

    @property
    def pid(self) -> int:
        """Give the server's process id."""
        return self._server.pid

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            folder = Folder("postgres")
            opened.push_async_callback(folder.remove)
            self.folder = folder.path
            self._hand_over()
            await self._initialize()
            opened.push_async_callback(self.crash)
            await self.start()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def start(self) -> None:
        """Start the server, again after `stop` or `crash`: same port, same data. Raises Faults with its last words."""
        self._port = self._port or _free_port()
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        where = ("-D", self._data, "-h", "127.0.0.1", "-p", str(self._port), "-k", self.folder)
        self._server = self._spawn("postgres", *where, *settings)
        while not self._ready():
            if self._server.poll() is not None:
                raise Faults([f"PostgreSQL did not start on {self.address}: {self._last_words()}"])
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop it in order: connections are cut, what was committed is kept."""
        await self._end(signal.SIGINT)

    async def crash(self) -> None:
        """End it as a crash would: the next start recovers from the log."""
        await self._end(signal.SIGQUIT)

    async def version(self) -> str:
        """Ask the server which version it is."""
        return str(await self._ask("SHOW server_version")).split()[0]

    async def database(self) -> str:
        """Make a fresh, empty database and give its URL."""
        name = f"database_{next(self._numbers)}"
        await self._ask(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        return self._url(name)

    async def drop(self, url: str) -> None:
        """Drop what `database` made, even while somebody is connected."""
        await self._ask(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@{self.address}/{database}"

    def _hand_over(self) -> None:
        """Give folder and programs to the server's user, who may not enter our home, nor the virtual environment in it."""
        if self._account is None:
            return
        if closed := closed_folder(self.folder):
            raise Faults(
                [
                    f"PostgreSQL cannot run as root, and user {self._account.name!r} may not enter {closed} on the way to "
                    f"{self.folder}: set TMPDIR to a folder that every user may enter, such as TMPDIR=/tmp"
                ]
            )
        if self._is_wheel and closed_folder(self._bin / "postgres"):
            self._bin = lent(self._bin, self.folder / "programs")
        give(self.folder, self._account)

    async def _initialize(self) -> None:
        initdb = self._spawn("initdb", "-D", self._data, *_INITDB)
        try:
            code = await asyncio.to_thread(initdb.wait)
        finally:
            initdb.kill()
        if code:
            raise Faults([f"initdb failed in {self.folder}: {self._last_words()}"])

    def _spawn(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a program as the server's user, in a session of its own: Ctrl-C is for the worker, which needs us to drain."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._bin / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "TZ": "UTC"},  # ours may hold secrets, and PG* variables of another server
                start_new_session=True,
                preexec_fn=die_with_parent,
                user=self._account and self._account.uid,
                group=self._account and self._account.gid,
                extra_groups=self._account and [],
            )

    def _ready(self) -> bool:
        """Read what pg_ctl reads: the first line of postmaster.pid is the process, the eighth its state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._server.pid) and lines[7].strip() == "ready"

    async def _end(self, how: signal.Signals) -> None:
        self._server.send_signal(how)
        await asyncio.to_thread(self._server.wait)

    async def _ask(self, sql: str) -> object:
        import asyncpg

        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    def _last_words(self) -> str:
        with (self.folder / "log").open("rb") as log:
            return last_words(log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
