"""worker/sources/postgres.py: keys of every type survive the run store, and the server's order is the pages' order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import do

from worker.database import Link
from worker.sources.postgres import _DECODE, PostgresQuery, query

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
LAST = datetime(9999, 12, 31)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "text": TEXT,
    "varchar": TEXT,
    "bpchar": TEXT.map(lambda text: text.rstrip(" ")),
    "uuid": st.uuids(),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=8) | st.integers().map(Decimal),
    "timestamptz": st.datetimes(max_value=LAST).map(lambda at: at.replace(tzinfo=UTC))
    | st.sampled_from([datetime.max, datetime.min]),
    "timestamp": st.datetimes(max_value=LAST),
    "date": st.dates(),
    "time": st.times(),
}
"""What each type may hold; the first and the last moment are PostgreSQL's -infinity and infinity, in asyncpg's words."""

SURPRISES = [
    "a",
    "B",
    "Z",
    "ä",
    "z",
    "Ä",
    "",
    " ",
    "a b",
    "ab",
    "a-b",
    "'",
    '"',
    "\\",
    "%",
    "ß",
    "ss",
    "\U0001f600",
    "\ufffd",
    "e\u0301",
    "é",
    "10",
    "9",
]


def test_keys_of_every_type_are_tried() -> None:
    """A type that becomes fit for a key is tried here too."""
    assert VALUES.keys() == _DECODE.keys()


async def source_of(link: Link, key: str | Sequence[str] = "key") -> PostgresQuery:
    """Give the source of table `keyed`."""
    source = query("SELECT * FROM keyed", key=key)
    source.connect(link, link)
    assert await source.check() == []
    return source


def stored(source: PostgresQuery, key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a key as it comes back from the run store."""
    return source.decode(msgspec.json.decode(msgspec.json.encode(source.encode(key))))


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_keys_round_trip_and_find_their_record(link: Link, kind: str, data: st.DataObject) -> None:
    """What is read as a key, kept as JSON and read back, is equal, pages on from there and finds the record again."""
    await hold_together(link, kind, data.draw(st.lists(VALUES[kind], min_size=1, max_size=8)))


@pytest.mark.parametrize("locale", ["und", "de", "en-u-kn", "sv"])
async def test_keys_page_in_the_collation_of_their_column(link: Link, locale: str) -> None:
    """Whatever the order of texts (numbers in them, umlauts, cases), the next page begins where the last one ended."""
    await collation(link, f"provider = icu, locale = '{locale}'")
    await hold_together(link, "text COLLATE special", SURPRISES)


async def test_keys_page_in_a_collation_for_which_texts_are_equal(link: Link) -> None:
    """A column that takes a for A holds one of them, and finds it by either."""
    await collation(link, "provider = icu, locale = 'und-u-ks-level2', deterministic = false")
    await hold_together(link, "text COLLATE special", ["a", "b", "C", "ä"])
    source = await source_of(link)
    assert [row["key"] for row in await source.records([("A",)])] == ["a"]


async def collation(link: Link, definition: str) -> None:
    """Make the collation `special`; skip the test where the server was built without ICU, as the wheel's is."""
    try:
        await do(link, f"CREATE COLLATION special ({definition})")
    except asyncpg.FeatureNotSupportedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("timestamptz", ["infinity", "-infinity", "1969-12-31 23:59:59.999999+00", "0001-01-02 00:00:00+14"]),
        ("timestamp", ["infinity", "-infinity", "1900-01-01 00:00:00.000001"]),
        ("date", ["infinity", "-infinity", "1582-10-15"]),
        ("numeric", ["Infinity", "-Infinity", "-0.00000000000000000001", "1e100", "9" * 60 + ".5", "1.0", "1.10"]),
    ],
)
async def test_keys_hold_what_only_the_server_can_write(link: Link, kind: str, values: list[str]) -> None:
    """Infinities, moments before 1970, microseconds and numbers beyond any float."""
    await hold_together(link, kind, values, cast="text")


async def test_keys_of_composite_types_round_trip(link: Link) -> None:
    """Each column by its own type."""
    await do(link, "CREATE TABLE keyed (at timestamptz, who uuid, n numeric, PRIMARY KEY (at, who, n))")
    await do(link, "INSERT INTO keyed SELECT now(), gen_random_uuid(), i / 7.0 FROM generate_series(1, 9) AS i")
    await hold(await source_of(link, ("at", "who", "n")), 9)


async def hold_together(link: Link, kind: str, values: list[Any], cast: str = "") -> None:
    """Fill a table with keys, and hold that they page, are kept and find their record."""
    column = "char(12)" if kind == "bpchar" else kind
    await do(link, f"DROP TABLE IF EXISTS keyed; CREATE TABLE keyed (key {column} PRIMARY KEY)")
    insert = f"INSERT INTO keyed VALUES ($1{f'::{cast}::{kind}' if cast else ''}) ON CONFLICT DO NOTHING"
    async with link.using() as connection:
        await connection.executemany(insert, [(value,) for value in values])
        count = await connection.fetchval("SELECT count(*) FROM keyed")
    await hold(await source_of(link), count)


async def hold(source: PostgresQuery, count: int) -> None:
    """Hold that a source's keys page one by one, survive the run store and find their records."""
    everything = [source.key(row) for row in (await source.page(None, 100)).records]
    assert len(everything) == count
    assert [stored(source, key) for key in everything] == everything
    paged: list[Any] = []
    while rows := (await source.page(stored(source, paged[-1]) if paged else None, 1)).records:
        paged += map(source.key, rows)
    assert paged == everything
    found = await source.records([stored(source, key) for key in everything])
    by_key = {source.key(row) for row in found}
    assert all(stored(source, key) in by_key for key in everything)
    assert len(found) == count
