"""The seed of poll-payments gives the records that were asked for, the same each time."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_stack import SEED

from worker.errors import Faults
from worker.local.postgres import Postgres
from worker.local.seed import find, seed

FINGERPRINT = """SELECT md5(string_agg(concat_ws('|', id, merchant_id, provider_ref, status, amount_cents, currency), ',' ORDER BY id))
                 FROM payments"""


async def row(url: str, sql: str) -> tuple[object, ...]:
    """Read one row on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return tuple(await connection.fetchrow(sql) or ())
    finally:
        await connection.close()


async def test_seed_makes_as_many_processing_payments_as_asked(database_url: str) -> None:
    """What a run reads is what was asked for, over about 100 merchants; the others make its WHERE matter."""
    await seed(database_url, SEED.read_text(), 5_000)
    sql = """SELECT count(*) FILTER (WHERE status = 'processing') AS processing,
                    count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
                    count(DISTINCT merchant_id) AS merchants, count(DISTINCT provider_ref) AS refs,
                    count(*) FILTER (WHERE created_at < now() - interval '4 days' OR created_at > now()) AS misdated
             FROM payments"""
    assert await row(database_url, sql) == (5_000, 250, 100, 5_250, 0)


async def test_seed_is_the_same_each_time(postgres_server: Postgres, database_url: str) -> None:
    """Another database gets the same payments, and a second seeding of one changes nothing."""
    other = await postgres_server.database()
    await seed(database_url, SEED.read_text(), 500)
    before = await row(database_url, FINGERPRINT)
    await seed(database_url, SEED.read_text(), 500)
    await seed(other, SEED.read_text(), 500)
    assert await row(database_url, FINGERPRINT) == before == await row(other, FINGERPRINT)
    await postgres_server.drop(other)


@given(st.integers(min_value=0, max_value=10**12))
def test_seed_counts_hold_for_any_number(records: int) -> None:
    """Of records × 21 / 20 ids, those that 21 does not divide are as many as the records asked for."""
    total = records * 21 // 20
    assert total - total // 21 == records


async def test_seed_is_read_by_an_index(database_url: str) -> None:
    """The page query of the job walks the partial index."""
    await seed(database_url, SEED.read_text(), 5_000)
    page = (
        "SELECT id, provider_ref, status FROM payments WHERE status = 'processing' AND id > 100 ORDER BY id LIMIT 500"
    )
    connection = await asyncpg.connect(database_url)
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {page}"))
    await connection.close()
    assert "Index Scan using payments_processing" in plan


async def test_seed_says_what_is_wrong_with_its_sql(database_url: str) -> None:
    """A mistake in the SQL is a fault in words, and leaves nothing half done."""
    with pytest.raises(Faults, match=r'seed failed for 7 records: column "mistake" does not exist'):
        await seed(database_url, "CREATE TABLE half_done (); SELECT mistake", 7)
    assert await row(database_url, "SELECT to_regclass('half_done')") == (None,)


@pytest.mark.parametrize("content", [b"SELECT mistake", b"\xff\xfe"])
async def test_seed_that_is_broken_is_named(content: bytes, database_url: str, tmp_path: Path) -> None:
    """With several jobs, it matters whose seed it is."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "mark_overdue.sql").write_bytes(content)
    with pytest.raises(Faults, match=rf"^{tmp_path.name}/local/mark_overdue\.sql: .*(mistake|utf-8)"):
        await sown(tmp_path, "mark-overdue", SimpleNamespace(url=database_url))


async def sown(folder: Path, job: str, postgres: Any) -> dict[str, str]:
    """Find a job's seed and fill a database by it."""
    found = find(folder, job)
    assert found
    return await found.sow({"postgres": postgres}, 7)


FILLS = """
async def seed(postgres, records):
    await postgres.execute("CREATE TABLE crates AS SELECT generate_series(1, $1::int)", records)
    return {"CRATES": "crates"}
"""
BREAKS = """
async def seed(postgres, records):
    await postgres.execute("CREATE TABLE half_done ()")
    raise LookupError("no crate")
"""


@pytest.fixture
def python_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a seed in Python; give the folder of its job."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / f"jobs_{tmp_path.name}"

    def write(source: str) -> Path:
        (package / "local").mkdir(parents=True)
        (package / "local" / "move_crates.py").write_text(source)
        return package

    return write


async def test_seed_in_python_is_lent_what_it_names(database_url: str, python_seed: Callable[[str], Path]) -> None:
    """Its parameters say what it fills; what it gives are variables for the job."""
    given = await sown(python_seed(FILLS), "move-crates", SimpleNamespace(url=database_url))
    assert given == {"CRATES": "crates"}
    assert await row(database_url, "SELECT count(*) FROM crates") == (7,)


async def test_seed_in_python_that_raises_is_named(database_url: str, python_seed: Callable[[str], Path]) -> None:
    """Its author hears what and where, and nothing is left half done."""
    with pytest.raises(Faults, match=r"local/move_crates\.py: LookupError: no crate \(.*local/move_crates\.py:4\)"):
        await sown(python_seed(BREAKS), "move-crates", SimpleNamespace(url=database_url))
    assert await row(database_url, "SELECT to_regclass('half_done')") == (None,)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("async def seed(redis, records): ...", "asks for 'redis'; what can be started is postgres, aws"),
        ("async def seed(postgres): ...", "must define async def seed"),
        ("def seed(postgres, records): ...", "must define async def seed"),
        ("def sow(): ...", "has no attribute 'seed'"),
        ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
    ],
)
def test_seed_in_python_that_cannot_be_read_is_refused(
    source: str, said: str, python_seed: Callable[[str], Path]
) -> None:
    """Before anything is started, in words."""
    with pytest.raises(Faults, match=said):
        find(python_seed(source), "move-crates")


def test_seed_is_one_file(python_seed: Callable[[str], Path]) -> None:
    """Two for one job are refused; none is none."""
    folder = python_seed(FILLS)
    (folder / "local" / "move_crates.sql").write_text("SELECT 1")
    with pytest.raises(Faults, match=r"two seeds, move_crates\.sql and move_crates\.py"):
        find(folder, "move-crates")
    assert find(folder, "count-crates") is None
