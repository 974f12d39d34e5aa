"""Nothing but `UPDATE … FROM unnest`, over the same pages, whose keys and values are in memory already."""

import time
from functools import partial

import asyncpg

from bench.rivals.told import parser, tell

UPDATE = """
    UPDATE results SET status = answer.status
    FROM unnest($1::bigint[], $2::text[]) AS answer (id, status) WHERE results.id = answer.id"""
PAGE = 1_000


async def work(url: str, rows: int) -> tuple[int, float]:
    """Update every page; give how many rows there were and when it began."""
    connection = await asyncpg.connect(url)
    pages = [list(range(first, min(first + PAGE, rows + 1))) for first in range(1, rows + 1, PAGE)]
    began = time.perf_counter()
    for page in pages:
        await connection.execute(UPDATE, page, ["done"] * len(page))
    await connection.close()
    return rows, began


if __name__ == "__main__":
    options = parser(__doc__).parse_args()
    tell(options.loop, partial(work, options.url, options.rows))
