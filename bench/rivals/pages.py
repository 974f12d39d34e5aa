"""Nothing but asyncpg: read the same pages by the same query, and drop them."""

import time
from functools import partial

import asyncpg

from bench.rivals.told import parser, tell

PAGE = """
    SELECT * FROM (SELECT id, ref, status, amount, updated_at FROM records WHERE id <= $1) AS source
    WHERE id > $2 ORDER BY id LIMIT 1000"""


async def work(url: str, rows: int) -> tuple[int, float]:
    """Read every page; give how many rows there were and when it began."""
    connection = await asyncpg.connect(url)
    began, after, read = time.perf_counter(), 0, 0
    while page := await connection.fetch(PAGE, rows, after):
        after, read = page[-1]["id"], read + len(page)
    await connection.close()
    return read, began


if __name__ == "__main__":
    options = parser(__doc__).parse_args()
    tell(options.loop, partial(work, options.url, options.rows))
