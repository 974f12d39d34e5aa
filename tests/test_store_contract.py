"""worker/claim.py, kept by every run store: who gets a run, from where it goes on, and who may be succeeded."""

import asyncio

import pytest
from examples import a_summary
from store_worlds import StoreWorld, granted
from stored import a_batch, a_claim, a_letter

from worker.claim import Granted, Held, Over, Selection
from worker.errors import Faults, LeaseLost
from worker.events import Summary
from worker.ledger import Batch, Committed, corrected
from worker.runs import RUNNING
from worker.tally import Tally
from worker.verdict import Verdict

ENDS = [verdict for verdict in Verdict if verdict.worked and verdict is not Verdict.SUCCEEDED] + [Verdict.NOT_STARTED]


@pytest.fixture
def world(run_store: StoreWorld) -> StoreWorld:
    """Give an empty run store of each kind."""
    return run_store


def ended(verdict: Verdict, **changes: object) -> Summary:
    """Give the summary of an attempt that ended like this."""
    return a_summary(verdict, **{"tally": Tally(read=3, done=3), **changes})


async def test_claim_of_a_new_run_is_granted(world: StoreWorld) -> None:
    """The first attempt begins at the start, and the store knows who it is."""
    claim = a_claim(scope={"merchant_id": 42}, task_arn="arn:1", host="here", version="1.2")
    assert await world.stores[0].claim(claim) == Granted(1, None, None, [], Tally())
    run = await world.run()
    assert (run.status, run.live, run.scope, run.attempt) == (RUNNING, True, {"merchant_id": 42}, 1)
    [attempt] = run.attempts
    assert (attempt.number, attempt.task_arn, attempt.host, attempt.verdict) == (1, "arn:1", "here", None)


async def test_claim_goes_on_from_the_last_commit(world: StoreWorld) -> None:
    """Cursor, open keys and tally come back; what was read and not finished will be read again."""
    await granted(world.stores[0])
    tally = Tally(read=9, done=4, failed=1, skipped={"unchanged": 2}, retries=3)
    await world.commit(world.stores[0], Batch([], [], [7, "ü\0"], [[3, "a"], [5, "b"]], tally))
    await world.stores[0].end(ended(Verdict.INTERRUPTED))
    again = await granted(world.stores[1])
    assert (again.attempt, again.source, again.open_keys) == (2, "id", [[3, "a"], [5, "b"]])
    assert again.cursor is not None
    assert again.cursor[0] == 7
    assert again.before == Tally(7, 4, 1, {"unchanged": 2}, 3)


async def test_claim_goes_on_with_many_open_keys(world: StoreWorld) -> None:
    """Some thousand keys as long as S3's come back."""
    keys = [[f"{number:0300d}", number] for number in range(2_000)]
    await granted(world.stores[0])
    await world.commit(world.stores[0], Batch([], [], [7], keys, Tally()))
    await world.stores[0].end(ended(Verdict.INTERRUPTED))
    assert (await granted(world.stores[1])).open_keys == keys


async def test_claim_of_a_run_that_succeeded_is_over(world: StoreWorld) -> None:
    """Nothing is begun, nothing is changed; with restart it begins anew, without the old failures."""
    await granted(world.stores[0])
    await world.commit(world.stores[0], a_batch({}, a_letter(1), cursor=7))
    await world.stores[0].end(ended(Verdict.SUCCEEDED))
    before = await world.run()
    assert await world.stores[1].claim(a_claim()) == Over(Verdict.SUCCEEDED, before.ended_at)
    assert await world.run() == before
    assert len(await world.letters()) == 1
    assert await granted(world.stores[1], a_claim(restart=True)) == Granted(2, None, None, [], Tally())
    assert await world.letters() == []


async def test_claim_of_any_other_end_goes_on(world: StoreWorld) -> None:
    """An attempt that did not succeed leaves the run to the next one."""
    for verdict in ENDS:
        claim = a_claim(verdict.name)
        await granted(world.stores[0], claim)
        await world.stores[0].end(ended(verdict))
        assert (await world.run(claim)).status == verdict.word
        assert (await granted(world.stores[1], claim)).attempt == 2
        await world.stores[1].end(ended(Verdict.SUCCEEDED))


async def test_claim_of_a_held_lease_says_who_holds_it(world: StoreWorld) -> None:
    """Both the same run and another one of the job are told; a commit and a heartbeat change the sign of life."""
    one, two, three, _ = world.stores
    await granted(one)
    held = await two.claim(a_claim())
    assert isinstance(held, Held)
    assert (held.run_id, held.attempt) == ("poll-payments:2026-11-22", 1)
    assert await three.claim(a_claim("other")) == held
    assert await two.claim(a_claim()) == held
    await one.heartbeat()
    beaten = await two.claim(a_claim())
    assert beaten != held
    await world.commit(one, a_batch({}))
    assert await two.claim(a_claim()) not in (held, beaten)


async def test_claim_with_another_lease_is_granted_beside(world: StoreWorld) -> None:
    """Jobs that run once per scope, and dry runs, hold leases of their own."""
    await granted(world.stores[0])
    await granted(world.stores[1], a_claim("other", lease="poll-payments {}"))


@pytest.mark.parametrize("run_key", ["2026-11-22", "other"])
async def test_claim_succeeds_a_holder_without_a_sign_of_life(world: StoreWorld, run_key: str) -> None:
    """The successor goes on; the dead attempt is closed at its last sign; a deposed holder can write nothing."""
    one, two, *_ = world.stores
    await granted(one)
    await world.commit(one, a_batch({}, cursor=7))
    held = await two.claim(a_claim(run_key))
    assert isinstance(held, Held)
    taken = await two.claim(a_claim(run_key), successor_of=held)
    assert isinstance(taken, Granted)
    assert taken.cursor == ([7] if run_key == "2026-11-22" else None)
    run = await world.run()
    assert run.status == (RUNNING if run_key == "2026-11-22" else "interrupted")
    assert (run.attempts[0].verdict, run.attempts[0].detail) == ("interrupted", "killed")
    assert run.attempts[0].ended_at is not None
    with pytest.raises(LeaseLost, match="a newer attempt holds run poll-payments:2026-11-22"):
        await one.heartbeat()
    await one.end(ended(Verdict.LEASE_LOST))
    holder = await world.reader.holder("poll-payments")
    assert holder is not None, "the deposed one's end takes nothing from its successor"
    assert (holder.run_id, holder.status) == (a_claim(run_key).run_id, RUNNING)
    await two.heartbeat()


async def test_claim_succeeds_nobody_who_moved(world: StoreWorld) -> None:
    """A holder that was heard of since it was seen keeps its lease."""
    one, two, *_ = world.stores
    await granted(one)
    held = await two.claim(a_claim())
    assert isinstance(held, Held)
    await one.heartbeat()
    assert isinstance(await two.claim(a_claim(), successor_of=held), Held)
    await one.heartbeat()


@pytest.mark.parametrize("keys", [["a", "a", "a", "a"], ["a", "b", "c", "d"]])
async def test_claim_at_once_is_granted_to_one(world: StoreWorld, keys: list[str]) -> None:
    """Of simultaneous claims, of one run or of several of the job, one is granted and the others see it."""
    answers = await asyncio.gather(*(store.claim(a_claim(key)) for store, key in zip(world.stores, keys, strict=True)))
    [winner] = [number for number, answer in enumerate(answers) if isinstance(answer, Granted)]
    others = [answer for number, answer in enumerate(answers) if number != winner]
    assert all(isinstance(answer, Held) and answer.run_id == a_claim(keys[winner]).run_id for answer in others)


async def test_claim_at_once_succeeds_the_dead_once(world: StoreWorld) -> None:
    """Of three who watched the same dead holder, one takes its place."""
    one, *others = world.stores
    await granted(one)
    held = await others[0].claim(a_claim())
    assert isinstance(held, Held)
    answers = await asyncio.gather(*(store.claim(a_claim(), successor_of=held) for store in others))
    assert sorted(type(answer).__name__ for answer in answers) == ["Granted", "Held", "Held"]


async def test_claim_of_another_scope_or_mode_is_refused(world: StoreWorld) -> None:
    """A run key names one scope, and a real run, a dry one or a canary."""
    await granted(world.stores[0], a_claim(scope={"a": 1}, whole_scope=b'{"a":1}'))
    with pytest.raises(Faults, match=r"was used with another scope: \{\"a\": ?1\}; use another key"):
        await world.stores[1].claim(a_claim())
    with pytest.raises(Faults, match="run key '2026-11-22' belongs to a run: say so again"):
        await world.stores[1].claim(a_claim(mode="dry-run", whole_scope=b'{"a":1}'))


async def test_claim_after_an_abort_forgives_its_failures(world: StoreWorld) -> None:
    """The error budget begins anew: what was counted before is told, and stays counted through an interruption."""
    one, two, three, _ = world.stores
    await granted(one)
    await world.commit(one, a_batch({1: "done"}, a_letter(2)))
    await one.end(ended(Verdict.ABORTED))
    counted = Tally(read=2, done=1, failed=1)
    assert (await granted(two)).forgiven == counted
    await world.commit(two, a_batch({3: "done"}))
    await two.end(ended(Verdict.INTERRUPTED))
    again = await granted(three)
    assert (again.forgiven, again.before) == (counted, Tally(read=3, done=2, failed=1))


async def test_claim_after_failures_replays_them(world: StoreWorld) -> None:
    """The letters are paged in one order; what is mended leaves the list with the commit; the run has then succeeded."""
    one, two, three, _ = world.stores
    await granted(one)
    await world.commit(one, a_batch({1: "done"}, *(a_letter(number) for number in (12, 2, 103, 4)), cursor=200))
    await one.end(ended(Verdict.COMPLETED_WITH_FAILURES))
    again = await granted(two)
    assert (again.replay, again.cursor, again.open_keys) == (1, None, [])
    first = await two.letters(None, 3)
    assert list(first) == [[2], [4], [12]]
    assert list(await two.letters(first[-1], 3)) == [[103]]
    mended = a_batch({2: "done", 4: "done"})
    mended = Batch(mended.results, [], None, [], mended.tally, mended=[[2], [4]])
    await world.commit(two, mended)
    assert [letter.key for letter in await world.letters()] == [[12], [103]]
    await two.mend([[12]])
    again_failed = Tally(read=4, done=2, failed=1, skipped={"gone": 1})
    await world.commit(two, Batch([], [a_letter(103)], None, [], again_failed))
    [left] = await world.letters()
    assert (left.key, left.tries) == ([103], 2)
    await two.end(ended(Verdict.COMPLETED_WITH_FAILURES))
    run = await world.run()
    assert (run.status, run.cursor, run.source) == ("completed with failures", [200], "id")
    assert Tally.from_json(run.tally) == Tally(read=5, done=3, failed=1, skipped={"gone": 1})
    assert [attempt.replay for attempt in run.attempts] == [None, 1]
    assert (await granted(three)).replay == 2


async def test_claim_of_a_replay_that_was_cut_short_goes_on_with_it(world: StoreWorld) -> None:
    """It keeps its number, and with it the idempotency keys of its calls."""
    one, two, three, _ = world.stores
    await granted(one)
    await world.commit(one, a_batch({}, a_letter(1), a_letter(2)))
    await one.end(ended(Verdict.COMPLETED_WITH_FAILURES))
    assert (await granted(two)).replay == 1
    await two.end(ended(Verdict.INTERRUPTED))
    assert (await world.run()).status == "completed with failures"
    assert (await granted(three)).replay == 1
    await three.end(ended(Verdict.SUCCEEDED))
    assert (await world.run()).status == "succeeded"


@pytest.mark.parametrize("verdict", [Verdict.COMPLETED_WITH_FAILURES, Verdict.SUCCEEDED, Verdict.ABORTED])
async def test_claim_of_a_replay_knows_whether_the_run_was_whole(world: StoreWorld, verdict: Verdict) -> None:
    """Of a run that was cut short the dead letters are not all that is left; a replay that died is no other case."""
    one, two, three, _ = world.stores
    assert (await granted(one)).whole
    await world.commit(one, a_batch({}, a_letter(1), a_letter(2)))
    await one.end(ended(verdict))
    whole = verdict is not Verdict.ABORTED
    assert (await granted(two, a_claim(replay=Selection()))).whole is whole
    await two.end(ended(Verdict.INTERRUPTED))
    assert (await granted(three, a_claim(replay=Selection()))).whole is whole


async def test_claim_of_a_replay_is_narrowed(world: StoreWorld) -> None:
    """By type or key; of nothing at all it is refused."""
    one, two, *_ = world.stores
    await granted(one)
    await world.commit(one, a_batch({}, a_letter(1), a_letter(2, type="Other"), a_letter(3)))
    await one.end(ended(Verdict.SUCCEEDED))
    with pytest.raises(Faults, match="has no dead letter of type 'None such': python -m worker runs show"):
        await two.claim(a_claim(replay=Selection(error="None such")))
    await granted(two, a_claim(replay=Selection(error="Other")))
    assert list(await two.letters(None, 10)) == [[2]]
    await two.end(ended(Verdict.SUCCEEDED))
    await granted(two, a_claim(replay=Selection(key="3")))
    assert list(await two.letters(None, 10)) == [[3]]


async def test_stand_aside_records_a_run_that_was_not_begun(world: StoreWorld) -> None:
    """It is told of, and is no obstacle to a later start; of a run that has begun nothing is said."""
    one, two, three, _ = world.stores
    await granted(one)
    await two.claim(a_claim("other"))
    await two.stand_aside(a_claim("other"), Verdict.OVERLAPPED, "why")
    aside = await world.run(a_claim("other"))
    assert (aside.status, aside.detail, aside.attempt, aside.live) == ("overlapped", "why", 0, False)
    await three.stand_aside(a_claim(), Verdict.OVERLAPPED, "why")
    assert (await world.run()).status == RUNNING
    latest = await world.reader.latest_unfinished("poll-payments")
    assert latest is not None
    assert latest.run_id == a_claim().run_id
    await one.end(ended(Verdict.SUCCEEDED))
    assert (await granted(two, a_claim("other"))).attempt == 1


async def test_follow_gives_the_verdict_once_the_run_rests(world: StoreWorld) -> None:
    """None while it is held, interrupted for a run that nobody knows."""
    one, two, *_ = world.stores
    assert await two.follow("poll-payments:x") is Verdict.INTERRUPTED
    await granted(one)
    assert await two.follow(a_claim().run_id) is None
    await one.end(ended(Verdict.ABORTED))
    assert await two.follow(a_claim().run_id) is Verdict.ABORTED


async def test_commit_moves_the_run_on(world: StoreWorld) -> None:
    """Results, cursor, tally, letters and the commit's number; what changed meanwhile is skipped."""
    store = world.stores[0]
    await granted(store)
    batch = a_batch({1: "done", 2: "done"}, a_letter(3), cursor=3)
    assert await world.commit(store, batch) == Committed(1)
    run = await world.run()
    assert (run.cursor, world.written) == ([3], [1, 2])
    assert await world.tally() == batch.tally
    [letter] = await world.letters()
    assert (letter.key, letter.type, letter.message, letter.tries) == ([3], "Refused", "no", 1)
    again = a_batch({4: "done", 5: "done"}, before=batch.tally)
    committed = await world.commit(store, again, changed=1)
    assert committed == Committed(2, changed=1)
    assert await world.tally() == corrected(again.tally, committed)


async def test_commit_of_a_deposed_attempt_is_not_made(world: StoreWorld) -> None:
    """Neither dead letters nor checkpoint, even where its successor makes a commit of the same number."""
    one, two, *_ = world.stores
    await granted(one)
    await world.commit(one, a_batch({1: "done"}))
    held = await two.claim(a_claim())
    assert isinstance(held, Held)
    await two.claim(a_claim(), successor_of=held)
    before = await world.run()
    with pytest.raises(LeaseLost, match="this page is not committed"):
        await world.commit(one, a_batch({2: "done"}, a_letter(3), cursor=9))
    with_heartbeat = await world.run()
    assert (with_heartbeat.tally, with_heartbeat.cursor) == (before.tally, before.cursor)
    await world.commit(two, a_batch({2: "done", 3: "done"}))
    assert await world.letters() == []
    assert await world.tally() == Tally(read=3, done=3)


async def test_commit_dead_letters_keep_first_time_and_all_tries(world: StoreWorld) -> None:
    """A record that fails again has one letter: its last error, its first time, all its tries."""
    store, later = world.stores[0], a_letter(1).last_at.replace(year=2027)
    await granted(store)
    await world.commit(store, a_batch({}, a_letter(1, tries=3)))
    await world.commit(store, a_batch({}, a_letter(1, tries=2, type="Other", first_at=later, last_at=later)))
    [letter] = await world.letters()
    assert (letter.type, letter.tries, letter.first_at, letter.last_at) == ("Other", 5, a_letter(1).first_at, later)


async def test_end_closes_the_attempt_and_gives_the_lease_back(world: StoreWorld) -> None:
    """Verdict, exit code, tally and summary are told; the next claim is granted."""
    await granted(world.stores[0])
    await world.stores[0].end(a_summary(Verdict.ABORTED, detail="too many", tally=Tally(read=3, done=2, failed=1)))
    run = await world.run()
    assert (run.status, run.detail, run.exit_code, run.live) == ("aborted", "too many", 1, False)
    assert run.summary is not None
    assert run.summary["errors"][0]["type"] == "resource_missing"
    [attempt] = run.attempts
    assert (attempt.verdict, attempt.exit_code, attempt.tally["done"]) == ("aborted", 1, 2)
    assert await world.reader.holder("poll-payments") is None
    await granted(world.stores[1], a_claim("other"))


async def test_history_is_the_median_of_runs_alike(world: StoreWorld) -> None:
    """Of those of the same job, mode and scope that succeeded; not of this one."""
    store, mine = world.stores[0], a_claim("mine")
    assert await store.history(mine) is None
    for number, verdict in enumerate([*[Verdict.SUCCEEDED] * 3, Verdict.ABORTED], 1):
        await granted(store, a_claim(f"key-{number}"))
        count = 100 * number
        await world.commit(store, Batch([], [], [1], [], Tally(read=count, done=count - number, failed=number)))
        await store.end(ended(verdict))
    history = await store.history(mine)
    assert history is not None
    assert (history.runs, history.records, history.failed) == (3, 200.0, 2.0)
    assert 0 <= history.duration_s < 60
    left = await store.history(a_claim("key-3"))
    assert left is not None
    assert left.records == 150.0
    assert await store.history(a_claim("mine", mode="canary")) is None
    assert await store.history(a_claim("mine", whole_scope=b'{"a":1}')) is None


async def test_reading_finds_nothing_where_nothing_is(world: StoreWorld) -> None:
    """No run, no holder, no letters, nothing to resume."""
    reader = world.reader
    assert await reader.find("poll-payments:x") is None
    assert await reader.holder("poll-payments") is None
    assert await reader.latest(None, 10) == []
    assert await reader.latest_unfinished("poll-payments") is None
    assert await reader.dead_letters("poll-payments:x", 10) == []


async def test_reading_the_latest_runs(world: StoreWorld) -> None:
    """Newest first, of one job or of all, no more than asked for, each with its summary and how long it took."""
    store = world.stores[0]
    for number in range(3):
        for job in ("a", "b"):
            await granted(store, a_claim(f"{number}", job=job, lease=job, mode="dry-run"))
            await store.end(ended(Verdict.SUCCEEDED))
    assert [run.run_id for run in await world.reader.latest(None, 4)] == ["b:2", "a:2", "b:1", "a:1"]
    ours = await world.reader.latest("b", 2)
    assert [run.run_id for run in ours] == ["b:2", "b:1"]
    assert all(run.dry_run and run.exit_code == 0 and run.summary and run.duration_s is not None for run in ours)
    assert ours[0].summary is not None
    assert ours[0].summary["verdict"] == "succeeded"


async def test_reading_turns_pages_of_runs(world: StoreWorld) -> None:
    """Page after page each run comes once, newest first, of one job or of all, in one status or in any; then there are no more."""
    store = world.stores[0]
    for number in range(5):
        job, verdict = ("a", "b")[number % 2], (Verdict.SUCCEEDED, Verdict.INTERRUPTED)[number == 2]
        await granted(store, a_claim(f"{number}", job=job, lease=job))
        await store.end(ended(verdict))
    assert await turned(world, None, None) == ["a:4", "b:3", "a:2", "b:1", "a:0"]
    assert await turned(world, "a", None) == ["a:4", "a:2", "a:0"]
    assert await turned(world, None, "interrupted") == ["a:2"]
    assert await turned(world, "a", "succeeded") == ["a:4", "a:0"]
    assert await turned(world, "b", "aborted") == []


async def turned(world: StoreWorld, job: str | None, status: str | None) -> list[str]:
    """Give the names of all runs, two a page."""
    names, place, more = [], None, True
    while more:
        runs, place = await world.reader.page(job, status, place, 2)
        names += [run.run_id for run in runs]
        more = place is not None
    return names


async def test_reading_tells_scopes_apart_that_look_the_same(world: StoreWorld) -> None:
    """The hash is of the whole scope; a run that is not there has none."""
    await granted(world.stores[0], a_claim(scope={"token": "***"}, whole_scope=b'{"token":"x"}'))
    found = await world.reader.scope_hash("poll-payments:2026-11-22")
    assert found == a_claim(whole_scope=b'{"token":"x"}').scope_hash != a_claim(whole_scope=b'{"token":"y"}').scope_hash
    assert await world.reader.scope_hash("poll-payments:x") is None


async def test_reading_turns_pages_of_dead_letters(world: StoreWorld) -> None:
    """Behind a key come those with greater ones."""
    await granted(world.stores[0])
    await world.commit(world.stores[0], a_batch({1: "done"}, *(a_letter(key) for key in (2, 5, 10, 11))))
    run_id = "poll-payments:2026-11-22"
    assert [letter.key for letter in await world.reader.dead_letters(run_id, 2)] == [[2], [5]]
    assert [letter.key for letter in await world.reader.dead_letters(run_id, 9, [5])] == [[10], [11]]


async def test_reading_tells_the_counts_of_attempts_that_could_not(world: StoreWorld) -> None:
    """Those of a killed attempt follow from the run's, and so do those of one that still works."""
    one, two, *_ = world.stores
    await granted(one)
    await world.commit(one, a_batch({1: "done"}, a_letter(2)))
    held = await two.claim(a_claim())
    assert isinstance(held, Held)
    await two.claim(a_claim(), successor_of=held)
    await world.commit(two, a_batch({3: "done"}))
    attempts = (await world.run()).attempts
    assert [(attempt.number, attempt.verdict, attempt.tally["done"]) for attempt in attempts] == [
        (1, "interrupted", 1),
        (2, None, 1),
    ]
