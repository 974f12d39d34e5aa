"""worker/database.py: a link reconnects, says what is away and what is wrong, and never says the password."""

import asyncio
import math

import asyncpg
import pytest
from stored import as_modest, do, row_of

from worker.database import Link, is_away, where
from worker.errors import Faults, Transient
from worker.local.postgres import Postgres
from worker.testing.proxy import Proxy

WORD = "s3cretword"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:s3cretword@db.example:6432/shop", "db.example:6432/shop"),
        ("postgresql://u:s3cretword@db.example/shop?sslmode=require", "db.example:5432/shop"),
        ("postgresql://u:a@s3cretword@db.example/shop", "db.example:5432/shop"),
        ("postgres://u:s3cretword@[::1]:6432/shop", "[::1]:6432/shop"),
        ("postgres://[fe80::1]/shop", "[fe80::1]:5432/shop"),
        ("postgresql:///shop?host=/var/run/postgresql&user=u&password=s3cretword", "/var/run/postgresql:5432/shop"),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/shop", "/var/run/postgresql:5432/shop"),
        ("postgresql://u@/shop?host=db.example&port=6432", "db.example:6432/shop"),
        ("postgresql:///?host=db.example&dbname=shop", "db.example:5432/shop"),
        ("postgresql://u:s3cretword@one:5432,two:5433/shop", "one:5432,two:5433/shop"),
        ("postgresql:///shop", "localhost:5432/shop"),
    ],
)
def test_database_is_named_without_its_password(url: str, name: str) -> None:
    """Host, port and name, whatever form the URL has."""
    assert where(url) == name


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("57P01"),
        asyncpg.CannotConnectNowError("57P03"),
        asyncpg.ConnectionDoesNotExistError("08003"),
        asyncpg.TooManyConnectionsError("53300"),
        asyncpg.ReadOnlySQLTransactionError("25006"),
        asyncpg.SerializationError("40001"),
        asyncpg.DeadlockDetectedError("40P01"),
        asyncpg.QueryCanceledError("57014"),
        asyncpg.LockNotAvailableError("55P03"),
        asyncpg.IdleInTransactionSessionTimeoutError("25P03"),
        asyncpg.InvalidCachedStatementError("a column was added"),
        asyncpg.InterfaceError("connection is closed"),
        TimeoutError(),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_database_away_is_told_from_wrong(error: Exception) -> None:
    """What passes by itself is waited for."""
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedColumnError("42703"),
        asyncpg.InsufficientPrivilegeError("42501"),
        asyncpg.UniqueViolationError("23505"),
        asyncpg.ObjectNotInPrerequisiteStateError("cannot insert into view"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InterfaceError("invalid input for query argument $1: 'connection is closed' (an integer is required)"),
        asyncpg.InterfaceError("invalid input for query argument $2: ['closed'] (an integer is required)"),
        ValueError("closed"),
    ],
    ids=str,
)
def test_database_wrong_is_told_from_away(error: Exception) -> None:
    """What would end the same is not waited for, whatever words and values its message holds."""
    assert not is_away(error)


async def test_database_link_reconnects_after_it_was_cut(link: Link, each_url: str) -> None:
    """The use that it was cut in says Transient, the next one works."""
    pid = (await row_of(link, "SELECT pg_backend_pid() AS pid"))["pid"]
    async with Link(each_url, "other") as other:
        cut = asyncio.create_task(row_of(other, "SELECT pg_terminate_backend($1, 5000)", pid))
        with pytest.raises(Transient, match=r"database 127\.0\.0\.1:\d+/\w+: .*terminat"):
            await row_of(link, "SELECT pg_sleep(30)")
        await cut
    assert (await row_of(link, "SELECT pg_backend_pid() AS pid"))["pid"] != pid


async def test_database_link_survives_a_restart_of_the_server() -> None:
    """While the server is down every use is Transient; once it is back the link works."""
    async with Postgres() as server, Link(server.url, "test") as link:
        await row_of(link, "SELECT 1")
        await server.stop()
        for _ in range(3):
            with pytest.raises(Transient):
                await row_of(link, "SELECT 1")
        await server.start()
        assert (await row_of(link, "SELECT 1 AS one"))["one"] == 1


async def test_database_statement_timeout_is_transient(link: Link) -> None:
    """A statement that the server cancelled may get through another time."""
    await row_of(link, "SELECT set_config('statement_timeout', '20ms', false)")
    with pytest.raises(Transient, match="statement timeout"):
        await row_of(link, "SELECT pg_sleep(30)")


async def test_database_replica_is_away(link: Link) -> None:
    """What only reads, as a primary that became a replica, is waited for."""
    await row_of(link, "SELECT set_config('default_transaction_read_only', 'on', false)")
    with pytest.raises(Transient, match="read-only"):
        await row_of(link, "CREATE TABLE t ()")


async def test_database_wrong_request_comes_out_as_it_is(link: Link) -> None:
    """The link stays connected over it."""
    pid = await row_of(link, "SELECT pg_backend_pid()")
    with pytest.raises(asyncpg.UndefinedTableError):
        await row_of(link, "SELECT * FROM nowhere")
    assert await row_of(link, "SELECT pg_backend_pid()") == pid


async def test_database_full_is_away(database_url: str) -> None:
    """A database that takes no more connections is waited for."""
    async with Link(database_url, "first") as link, link.using() as connection:
        await connection.execute(f"ALTER DATABASE {database_url.rpartition('/')[2]} CONNECTION LIMIT 1")
        async with Link(await as_modest(connection, database_url), "test") as second:
            with pytest.raises(Transient, match="too many connections"):
                await row_of(second, "SELECT 1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("postgres@", f"nobody:{WORD}@"), 'role "nobody" does not exist'),
        (("/postgres?", "/nowhere?"), "does not exist"),
        (("?", "?sslmode=perhaps&"), "sslmode"),
        (("?", "?no_such_option=1&"), "no_such_option"),
    ],
)
async def test_database_that_does_not_let_us_in_is_a_fault(each_url: str, change: tuple[str, str], said: str) -> None:
    """Wrong credentials, names and options are not waited for; the fault names the database and not the password."""
    async with Link(f"{each_url}?ssl=disable".replace(*change), "test") as link:
        with pytest.raises(Faults, match=r"database 127\.0\.0\.1:\d+/\w+ refuses the connection: .*" + said) as refused:
            await row_of(link, "SELECT 1")
    assert WORD not in str(refused.value)


async def test_database_malformed_url_is_a_fault_that_does_not_show_it() -> None:
    """What asyncpg quotes of a URL that it cannot read may be a part of the password."""
    async with Link(f"postgresql://u:1?{WORD}@127.0.0.1/shop", "test") as link:
        with pytest.raises(Faults, match="malformed") as refused:
            await row_of(link, "SELECT 1")
    assert WORD not in str(refused.value)


async def test_database_refused_password_is_a_fault_that_does_not_show_it() -> None:
    """The fault names the database and the user, not the password that was wrong."""
    async with Postgres() as server:
        async with Link(server.url, "owner") as owner:
            await do(owner, "ALTER ROLE postgres PASSWORD 'right'")
        (server.folder / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        await server.stop()
        await server.start()
        async with Link(server.url.replace("postgres@", f"postgres:{WORD}@"), "test") as wrong:
            with pytest.raises(Faults, match="password authentication failed") as refused:
                await row_of(wrong, "SELECT 1")
    assert WORD not in str(refused.value)


async def test_database_cancelled_use_leaves_no_half_read_connection(link: Link) -> None:
    """After a cancelled query the next use gets its own answer, on a connection of its own."""
    pid = await row_of(link, "SELECT pg_backend_pid()")
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await row_of(link, "SELECT pg_sleep(30), generate_series(1, 100000)")
        assert (await row_of(link, "SELECT 7 AS seven"))["seven"] == 7
    assert await row_of(link, "SELECT pg_backend_pid()") != pid


async def test_database_cut_in_an_answer_is_transient(each_url: str) -> None:
    """A connection that is cut after the query was sent is away, and the next use connects anew."""
    async with Proxy(each_url) as proxy, Link(proxy.url, "test") as link:
        cut = proxy.cut_after(b"generate_series")
        with pytest.raises(Transient):
            await do(link, "SELECT count(*) FROM generate_series(1, 10)")
        assert cut.happened.is_set()
        assert (await row_of(link, "SELECT count(*) AS n FROM generate_series(1, 10)"))["n"] == 10
        assert proxy.connections == 2


async def test_database_that_refuses_connections_is_away(each_url: str) -> None:
    """A port where connections are cut at once is waited for."""
    async with Proxy(each_url) as proxy, Link(proxy.url, "test") as link:
        proxy.refusing = math.inf
        with pytest.raises(Transient):
            await row_of(link, "SELECT 1")
        proxy.refusing = 0
        await row_of(link, "SELECT 1")


async def test_database_that_answers_late_is_away(each_url: str) -> None:
    """Connecting takes at most its time-out."""
    async with Proxy(each_url) as proxy, Link(proxy.url, "test", timeout_s=0.05) as link:
        proxy.delay_s = 10.0
        with pytest.raises(Transient, match="TimeoutError"):
            await row_of(link, "SELECT 1")


async def test_database_link_is_used_by_one_at_a_time(link: Link) -> None:
    """Two uses at once come one after the other, on one connection."""
    seen: list[str] = []

    async def use(name: str) -> None:
        async with link.using() as connection:
            seen.append(name)
            await connection.fetchval("SELECT 1")
            seen.append(name)

    await asyncio.gather(use("a"), use("b"))
    assert seen == ["a", "a", "b", "b"]
