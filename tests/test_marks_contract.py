"""worker/marks.py and what the watchers ask of runs, kept by every run store."""

import asyncio
from datetime import UTC, datetime, timedelta

from examples import a_summary
from store_worlds import StoreWorld, granted
from stored import a_claim

from worker.runs import WHOLE
from worker.tally import Tally
from worker.verdict import Verdict

JOB = "poll-payments"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def test_mark_is_new_once(run_store: StoreWorld) -> None:
    """For whoever sets it; another value is news again."""
    one, other, *_ = run_store.marks
    assert await one.marked("late/poll-payments") is None
    said = [await marks.mark("late/poll-payments", value) for marks, value in ((one, "a"), (other, "a"), (other, "b"))]
    assert said == [True, False, True]
    found = await one.marked("late/poll-payments")
    assert found is not None
    assert found.value == "b"
    assert abs(datetime.now(UTC) - found.at) < timedelta(minutes=1)
    assert [await one.mark("empty"), await other.mark("empty")] == [True, False]


async def test_mark_that_several_set_at_once_is_new_to_one(run_store: StoreWorld) -> None:
    """However they meet."""
    for number in range(5):
        assert sorted(await asyncio.gather(*(marks.mark(f"{number}", "x") for marks in run_store.marks))) == [
            *[False] * (len(run_store.marks) - 1),
            True,
        ]


async def test_run_is_found_by_its_task(run_store: StoreWorld) -> None:
    """By the task of its last attempt, with its attempts; nobody else's is given."""
    store, reader = run_store.stores[0], run_store.reader
    for number in range(3):
        await granted(store, a_claim(f"{number}", task_arn=f"arn:{number}"))
        await store.end(a_summary(Verdict.ABORTED, tally=Tally()))
    found = await reader.by_task(JOB, "arn:1")
    assert found is not None
    assert (found.run_key, [attempt.task_arn for attempt in found.attempts]) == ("1", ["arn:1"])
    assert await reader.by_task(JOB, "arn:9") is None
    assert await reader.by_task("other", "arn:1") is None


async def test_last_success_is_of_the_whole_job(run_store: StoreWorld) -> None:
    """Not of a dry run, nor of a part, nor one that failed; and of those that were begun since then."""
    store, reader = run_store.stores[0], run_store.reader
    assert a_claim().scope_hash == WHOLE
    assert await reader.succeeded(JOB, LONG_AGO) is None
    for claim, verdict in (
        (a_claim("good"), Verdict.SUCCEEDED),
        (a_claim("dry", mode="dry-run"), Verdict.SUCCEEDED),
        (a_claim("part", whole_scope=b'{"merchant_id":42}'), Verdict.SUCCEEDED),
        (a_claim("bad"), Verdict.ABORTED),
        (a_claim("elsewhere", job="other", lease="other"), Verdict.SUCCEEDED),
    ):
        await granted(store, claim)
        await store.end(a_summary(verdict, tally=Tally()))
    found = await reader.succeeded(JOB, LONG_AGO)
    assert found is not None
    assert found.run_key == "good"
    assert await reader.succeeded(JOB, datetime.now(UTC) + timedelta(minutes=1)) is None
