"""worker/sources/postgres.py: a page is read from the index, whatever the table's size: no sort, no scan of the table."""

import itertools
from typing import Any

import msgspec
import pytest
from local_stack import SEED
from stored import do, rows_of

from jobs.poll_payments import PollPayments
from worker.database import Link
from worker.local.seed import seed
from worker.sources.postgres import PostgresQuery, query


@pytest.fixture
async def payments(link: Link) -> Link:
    """Give a link to a database with 100,000 payments to poll, and as many whose shop orders them."""
    await seed(link.url, SEED.read_text(), 100_000)
    await do(link, "CREATE INDEX payments_by_merchant ON payments (merchant_id, id); ANALYZE payments")
    return link


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Give all nodes of a plan, the top one first."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def plan_of(link: Link, sql: str, *arguments: Any) -> list[dict[str, Any]]:
    """Have the server explain what it did."""
    [row] = await rows_of(link, f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    return nodes(msgspec.json.decode(row[0])[0]["Plan"])


async def source_of(link: Link, *arguments: Any, key: Any, sql: str = PollPayments.PROCESSING) -> PostgresQuery:
    """Give the job's source."""
    source = query(sql, *arguments, key=key)
    source.connect(link, link)
    assert await source.check() == []
    return source


KEYS = ["id", "id desc", ("merchant_id", "id"), ("merchant_id desc", "id desc")]


async def test_plans_of_pages_and_records_use_the_index(payments: Link) -> None:
    """First page, next page and records by key read what they give and little more, planned once or each time."""
    sql = PollPayments.PROCESSING.replace("updated_at", "updated_at, merchant_id")
    for cache, key in itertools.product(("force_custom_plan", "force_generic_plan"), KEYS):
        await do(payments, f"SET plan_cache_mode = {cache}")
        source = await source_of(payments, None, key=key, sql=sql)
        _, first = await source.page(None, 500)
        _, middle = await source.page(first, 500)
        assert middle is not None
        statements = source._sql
        for name, arguments in {
            statements.first: (None, 500),
            statements.next: (None, *middle, 500),
            statements.by_key: (None, *[[value] for value in middle]),
        }.items():
            plan = await plan_of(payments, name, *arguments)
            kinds = {node["Node Type"] for node in plan}
            assert not kinds & {"Sort", "Seq Scan", "Bitmap Heap Scan", "Incremental Sort"}, (cache, name, kinds)
            assert kinds & {"Index Scan", "Index Only Scan"}
            assert sum(node.get("Rows Removed by Filter", 0) for node in plan) < 500
