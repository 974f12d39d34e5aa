"""The one summary of a run in shards: posted by the shard that ended last, or for it, where it died before it could."""

import logging

from worker.claim import Store
from worker.errors import Transient
from worker.events import Reporter, Summary

_log = logging.getLogger(__name__)


async def bury(
    store: Store, run_id: str, shard: int, reporter: Reporter, budget_s: float, task_arn: str | None = None
) -> Summary | None:
    """Take a shard for ended whose process is known to be dead and is not going to be started again; see `Store.bury`.

    Where all shards have ended with it, tell the reporter how the run ended, and give the summary. Raises Transient.
    """
    whole = await store.bury(run_id, shard, task_arn)
    if whole is not None:
        await tell_whole(store, whole, reporter, budget_s)
    return whole


async def tell_whole(store: Store, whole: Summary, reporter: Reporter, budget_s: float) -> None:
    """Report how a run in shards ended, then note that it was told: a message may come twice, but not never."""
    await reporter.closed(whole, budget_s)
    try:
        await store.told(whole.start.run_id)
    except Transient as error:
        _log.warning("that the summary of %s is out is not in the run store: %s", whole.start.run_id, error)
