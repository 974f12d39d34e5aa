"""worker/sources/postgres.py: pages by keyset, records by key, the count, and what is wrong with a query."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from stored import as_modest, do, rows_of

from worker.database import Link
from worker.errors import Permanent, Transient
from worker.source import Key
from worker.sources import postgres
from worker.sources.postgres import PostgresQuery, query

TABLE = """
    CREATE TABLE item (id bigint PRIMARY KEY, shop int NOT NULL, "Order No" int NOT NULL, note json, price float, paid bool);
    INSERT INTO item SELECT n, n % 3, n % 7, '{}', n, true FROM generate_series(1, 50) AS n"""

SLOW = """
    CREATE FUNCTION slow(bigint) RETURNS bool PARALLEL SAFE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(1); RETURN true; END'"""


@pytest.fixture
async def table(link: Link) -> Link:
    """Give a link to a database with fifty items."""
    await do(link, TABLE)
    return link


async def checked(link: Link, sql: str, *arguments: Any, key: str | Sequence[str] = "id") -> PostgresQuery:
    """Give a source that nothing is wrong with."""
    source = query(sql, *arguments, key=key)
    source.connect(link, link)
    assert await source.check() == []
    return source


async def faults(link: Link, sql: str, *arguments: Any, key: str | Sequence[str] = "id") -> str:
    """Give the one fault of a query."""
    source = query(sql, *arguments, key=key)
    source.connect(link, link)
    [fault] = await source.check()
    return fault


async def all_keys(source: PostgresQuery, size: int) -> list[Key]:
    """Page through a source."""
    keys: list[Key] = []
    after = None
    while True:
        rows, beyond = await source.page(after, size)
        keys += map(source.key, rows)
        if beyond is None:
            return keys
        assert beyond == keys[-1]
        after = source.decode(source.encode(beyond))


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("id", "id"),
        ("id desc", "id DESC"),
        ("id  ASC", "id"),
        (("shop", "id"), "shop, id"),
        (("shop desc", "id DESC"), "shop DESC, id DESC"),
        (("Order No", "id"), '"Order No", id'),
        (("Order No desc", "id desc"), '"Order No" DESC, id DESC'),
    ],
)
async def test_source_pages_give_each_record_once_in_order(table: Link, key: Any, columns: str) -> None:
    """Whatever the key and the page's size, the pages are the table in the key's order."""
    source = await checked(table, "SELECT * FROM item", key=key)
    expected = [source.key(row) for row in await rows_of(table, f"SELECT * FROM item ORDER BY {columns}")]
    for size in (1, 7, 50, 51):
        assert await all_keys(source, size) == expected


@pytest.mark.parametrize("key", ["", " ", (), ("id", ""), ("id", "shop desc"), ("id desc", "shop asc")])
def test_source_key_that_is_none_is_refused(key: Any) -> None:
    """No column, or columns in different directions."""
    with pytest.raises(ValueError, match="a key is columns that are all ascending or all descending"):
        query("SELECT 1", key=key)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM item;",
        "SELECT * FROM item ;\n ",
        "SELECT * FROM item -- all of them",
        "-- all of them\nSELECT * FROM item /* really */",
        "WITH every AS (SELECT * FROM item) SELECT * FROM every",
        "SELECT * FROM item WHERE id <= 20 UNION ALL SELECT * FROM item WHERE id > 20",
        "TABLE item",
        "SELECT i.* FROM item i JOIN item j USING (id)",
        "SELECT * FROM item WHERE note::text <> ';--'",
    ],
)
async def test_source_takes_any_select(table: Link, sql: str) -> None:
    """A semicolon, a comment, a CTE and a UNION are no trouble."""
    source = await checked(table, sql)
    assert await all_keys(source, 20) == [(number,) for number in range(1, 51)]
    assert await source.count((10,)) == 40
    assert len(await source.records([(1,), (2,)])) == 2


async def test_source_quotes_any_column(link: Link) -> None:
    """A quote in a column's name is part of the name."""
    await do(link, """CREATE TABLE odd ("a ""b"" c" int); INSERT INTO odd VALUES (1), (2)""")
    source = await checked(link, "SELECT * FROM odd", key='a "b" c')
    assert await all_keys(source, 1) == [(1,), (2,)]


@pytest.mark.parametrize(("shop", "count"), [(None, 50), (1, 17)])
async def test_source_arguments_may_be_none(table: Link, shop: int | None, count: int) -> None:
    """`$1::int IS NULL OR …` narrows or does not, in pages, count and records alike."""
    source = await checked(table, "SELECT * FROM item WHERE $1::int IS NULL OR shop = $1", shop)
    assert len(await all_keys(source, 10)) == count
    assert await source.count(None) == count
    assert len(await source.records([(number,) for number in range(1, 51)])) == count


async def test_source_misses_nothing_while_the_table_changes(table: Link) -> None:
    """Rows that come and go beside the pages neither hide nor double one that was there throughout."""
    await do(table, "UPDATE item SET id = id * 1000")
    source = await checked(table, "SELECT id FROM item")
    seen: list[int] = []
    before, behind, deleted = set(range(1_000, 51_000, 1_000)), set[int](), set[int]()
    after = None
    while (rows := (await source.page(after, 7)).records) and rows[0]["id"] <= 50_000:
        seen += [row["id"] for row in rows]
        after, last = source.key(rows[-1]), seen[-1]
        await do(table, f'INSERT INTO item (id, shop, "Order No") VALUES ({last - 5}, 0, 0), ({last + 5}, 0, 0)')
        await do(table, f"DELETE FROM item WHERE id IN ({last}, {last + 2_000})")
        behind |= {last - 5}
        deleted |= {last, last + 2_000}
    assert len(seen) == len(set(seen))
    assert before - deleted <= set(seen)
    assert not behind & set(seen)


async def test_source_records_come_by_their_keys(table: Link) -> None:
    """In any order and asked for twice, each that is there and selected comes once; the others are left out."""
    source = await checked(table, "SELECT * FROM item WHERE id <= 40")
    found = await source.records([(7,), (3,), (7,), (41,), (999,)])
    assert sorted(row["id"] for row in found) == [3, 7]
    assert list(await source.records([])) == []


async def test_source_records_come_by_composite_keys(table: Link) -> None:
    """Both columns must fit."""
    source = await checked(table, "SELECT * FROM item", key=("shop", "id"))
    assert [source.key(row) for row in await source.records([(1, 4), (2, 4)])] == [(1, 4)]


async def test_source_count_falls_back_to_the_planner(table: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long to count is estimated, with the query's arguments and after the cursor."""
    monkeypatch.setattr(postgres, "_COUNT_TIMEOUT_MS", 20)
    await do(table, "INSERT INTO item SELECT n, 0, 0 FROM generate_series(51, 20000) AS n; ANALYZE item")
    await do(table, SLOW)
    source = await checked(table, "SELECT * FROM item WHERE ($1::int IS NULL OR shop < $1) AND slow(id)", 5)
    assert await source.count(None) == pytest.approx(20_000 / 3, rel=0.02), "a function is taken to select a third"
    assert await source.count((15_000,)) == pytest.approx(5_000 / 3, rel=0.1)


async def test_source_count_estimates_what_is_counted_in_parallel(table: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner's estimate is that of all rows, not of what its workers hand over."""
    monkeypatch.setattr(postgres, "_COUNT_TIMEOUT_MS", 20)
    await do(table, "INSERT INTO item SELECT n, 0, 0 FROM generate_series(51, 20000) AS n; ANALYZE item")
    for setting in ("parallel_setup_cost=0", "parallel_tuple_cost=0", "min_parallel_table_scan_size=0"):
        await do(table, f"SET {setting}")
    await do(table, SLOW)
    source = await checked(table, "SELECT id FROM item WHERE slow(id)")
    plan = "\n".join(row[0] for row in await rows_of(table, "EXPLAIN SELECT count(*) FROM item WHERE slow(id)"))
    assert "Gather" in plan
    assert await source.count(None) == pytest.approx(20_000 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("sql", "arguments", "key", "said"),
    [
        ("SELECT * FROM nowhere", (), "id", 'not sound: relation "nowhere" does not exist'),
        ("SELECT id,\nnothing FROM\nitem", (), "id", 'not sound: column "nothing" does not exist, at: nothing FROM$'),
        ("SELECT pryce FROM item", (), "id", '(?s)HINT: .*"item.price".*, at: pryce FROM item$'),
        ("SELECT FROM WHERE", (), "id", "not sound: syntax error"),
        ("DELETE FROM item", (), "id", "not sound: syntax error"),
        ("SELECT 1 AS id; SELECT 2", (), "id", "not sound: syntax error"),
        ("SELECT shop FROM item", (), "id", r"key column 'id' is not among the query's columns \(shop\)"),
        ("SELECT * FROM item", (), "ID", "key column 'ID' is not among"),
        ("SELECT i.id, j.id FROM item i, item j", (), "id", '"id" is ambiguous'),
        ("SELECT * FROM item", (), "price", "key column 'price' is float8; a cursor can be int2"),
        ("SELECT * FROM item", (), "note", "key column 'note' is json; a cursor can be"),
        ("SELECT * FROM item", (), "paid", "key column 'paid' is bool; a cursor can be"),
        ("SELECT * FROM item WHERE shop = $1", (), "id", r"has 1 arguments \(\$1 …\) and is given 0"),
        ("SELECT * FROM item", (1,), "id", "has 0 arguments .* is given 1"),
        ("SELECT * FROM item WHERE shop = $2", (1, 2), "id", "not sound: could not determine data type of parameter"),
        ("SELECT * FROM item WHERE shop = $1", ("x",), "id", "does not fit its arguments: .*'x'"),
    ],
)
async def test_source_check_says_what_is_wrong(table: Link, sql: str, arguments: Any, key: str, said: str) -> None:
    """One fault, in words, before any record is read."""
    assert re.search(said, await faults(table, sql, *arguments, key=key))


async def test_source_check_finds_a_missing_right(table: Link, each_url: str) -> None:
    """A table that may not be read is found before the first page."""
    async with table.using() as connection:
        url = await as_modest(connection, each_url)
    async with Link(url, "modest") as modest:
        assert "refuses the job's query: permission denied for table item" in await faults(modest, "SELECT * FROM item")


async def test_source_check_reads_no_record(table: Link) -> None:
    """It is no more than a look: a query that would take for ever is checked at once."""
    await checked(table, "SELECT id FROM item WHERE pg_sleep(60) IS NOT NULL")


async def test_source_away_is_transient_not_a_fault(table: Link) -> None:
    """A database that is away during the check is waited for."""
    await do(table, "SET statement_timeout = 20")
    source = query("SELECT * FROM item", key="id")
    async with Link(table.url, "locker") as locker:
        source.connect(table, table)
        async with locker.using() as connection, connection.transaction():
            await connection.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Transient):
                await source.check()


async def test_source_refuses_a_key_that_is_not_unique(link: Link) -> None:
    """Two rows with one key across a page's end would lose one of them: the page is refused, and says which."""
    async with link.using() as connection:
        await connection.execute("CREATE TABLE twins (id int); INSERT INTO twins VALUES (1), (2), (2), (3)")
    source = query("SELECT id FROM twins", key="id")
    source.connect(link, link)
    assert await source.check() == []
    assert len((await source.page(None, 3)).records) == 3
    with pytest.raises(Permanent, match="two rows have id = 2"):
        await source.page(None, 2)


async def test_source_refuses_a_key_that_is_null(link: Link) -> None:
    """Rows without a key would never be read: that is a fault of the start."""
    async with link.using() as connection:
        await connection.execute("CREATE TABLE holes (id int); INSERT INTO holes VALUES (1), (NULL)")
    source = query("SELECT id FROM holes", key="id")
    source.connect(link, link)
    assert "is null in some rows" in (await source.check())[0]
