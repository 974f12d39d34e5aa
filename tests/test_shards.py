"""worker/shards.py: a part's share of limits and budgets, and one end made of many."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from examples import a_start, a_summary, an_error
from hypothesis import given
from hypothesis import strategies as st

from worker.allowance import RAISED
from worker.budget import ErrorBudget
from worker.errors import Faults
from worker.limits import Limits, Rate
from worker.mask import MASK
from worker.shards import Rested, Shard, Whole, closed, worst
from worker.tally import Tally
from worker.verdict import Verdict


def rested(number: int, status: str = "succeeded", detail: str = "", **tally: Any) -> Rested:
    """Give a shard as the store knows it."""
    summary = a_summary(Verdict.of(status), start=a_start(shard=f"{number}/3"), detail=detail)
    told = msgspec.json.decode(msgspec.json.encode(summary))
    return Rested(number=number, status=status, detail=detail, tally=Tally(**tally), summary=told)


def a_whole(**changes: object) -> Whole:
    """Give a run in shards that has begun anew."""
    whole: dict[str, object] = {
        "job": "poll-payments",
        "run_key": "key",
        "scope": {"region": "a b"},
        "mode": "run",
        "attempt": 1,
        "started_at": datetime.now(UTC),
        "before": Tally(),
        "tally": Tally(),
        "summed": Tally(),
    }
    return Whole(**{**whole, **changes})  # type: ignore[arg-type]  # by keyword, as tests want them


@given(st.integers(1, 200), st.integers(0, 10_000))
def test_shares_add_up_to_the_whole(of: int, count: int) -> None:
    """None is more than one away from another."""
    shares = [Shard(number, of).share(count) for number in range(1, of + 1)]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 50), st.integers(50, 5_000), st.integers(50, 5_000))
def test_shares_of_limits_are_at_most_the_whole(of: int, rate: int, concurrency: int) -> None:
    """Rates keep their windows, so that no window of all shards together has more calls; the budget's count is divided, shares are not."""
    whole = Limits(rate=Rate(rate, per=2), rates=(Rate(rate + 1, name="search"),), concurrency=concurrency)
    shares = [Shard(number, of).limits(whole) for number in range(1, of + 1)]
    assert sum(share.rate.count for share in shares if share.rate) == rate
    assert {(share.rate.per, share.rate.name) for share in shares if share.rate} == {(2, "rate")}
    assert sum(share.rates[0].count for share in shares) == rate + 1
    assert sum(share.concurrency for share in shares) == concurrency
    budgets = [Shard(number, of).budget(ErrorBudget(count=rate, share=0.1)) for number in range(1, of + 1)]
    assert sum(budget.count or 0 for budget in budgets) == rate
    assert {budget.share for budget in budgets} == {0.1}


def test_shares_that_cannot_be_are_faults() -> None:
    """Each of them says how many shards there can be."""
    with pytest.raises(Faults) as refused:
        Shard(1, 8).limits(Limits(rate=Rate(5, name="stripe"), concurrency=4))
    assert list(refused.value.faults) == [
        "8 shards cannot share the rate 'stripe' of 5/s: make at most 5 of them",
        "8 shards cannot share a concurrency of 4: make at most 4 of them",
    ]
    with pytest.raises(Faults, match=r"max_age=0\.2 s is over while a record waits"):
        Shard(1, 8).limits(Limits(rate=Rate(16), max_age=0.2))


@pytest.mark.parametrize("text", ["0/8", "9/8", "1", "a/b", "1/0", "1/1001", "-1/8", " 1/8"])
def test_shard_that_is_none_is_a_fault(text: str) -> None:
    """It says the form."""
    with pytest.raises(Faults, match="is not I/N, from 1/N to N/N"):
        Shard.parse(text)


def test_worst_verdict_is_what_must_be_done_first() -> None:
    """To look, to start again, to replay, nothing."""
    ends = [
        Verdict.SUCCEEDED,
        Verdict.COMPLETED_WITH_FAILURES,
        Verdict.INTERRUPTED,
        Verdict.ABORTED,
        Verdict.NOT_STARTED,
    ]
    for number, end in enumerate(ends, 1):
        assert worst(ends[:number]) is end
    assert worst([Verdict.ALREADY_DONE, Verdict.SUCCEEDED]) is Verdict.SUCCEEDED
    assert {worst([verdict]) for verdict in Verdict} == set(Verdict)


def test_closed_run_says_which_shards_made_it_so() -> None:
    """Errors of one kind are one group; figures are added or the largest; a killed shard has no summary."""
    killed = Rested(number=3, status="interrupted", detail="killed", tally=Tally(), summary=None)
    shards = [rested(1, done=5, read=5), rested(2, "aborted", "too many", done=1, read=3, failed=2), killed]
    summary = closed(a_whole(), shards)
    assert (summary.verdict, summary.detail) == (Verdict.ABORTED, "shard 2/3: too many")
    assert summary.run_tally == Tally(read=8, done=6, failed=2)
    assert summary.errors == (an_error(count=24),)
    assert summary.start.limits.concurrency == 128
    assert summary.start.limits.rate == Rate(180)
    assert summary.commits == 20
    assert [end.detail for end in summary.shards] == ["", "too many", "killed"]
    assert summary.next_command == "python -m worker poll-payments --run-key key --shards 3 --scope 'region=a b'"


@pytest.mark.parametrize(
    ("commands", "bound"),
    [(["… --max-affected 9", None], "--max-affected 9"), (["… --max-affected 9", "… --max-affected N"], RAISED)],
)
def test_closed_run_goes_on_under_the_same_bound(commands: list[str | None], bound: str) -> None:
    """What was said of the changes of all shards is said again; where it was too little, somebody has to decide."""
    shards = [rested(number, "interrupted") for number in (1, 2)]
    for shard, command in zip(shards, commands, strict=True):
        assert shard.summary is not None
        shard.summary["next_command"] = command
        shard.summary["start"]["max_affected"] = 9
    assert (closed(a_whole(scope={}), shards).next_command or "").endswith(f"--shards 2 {bound}")


def test_closed_run_keeps_what_a_replay_has_mended() -> None:
    """The shards' sum has grown by two since the run was closed and replayed: so has the run."""
    shards = [rested(1, done=7, read=10, failed=3)]
    whole = a_whole(
        before=Tally(read=8, done=8),
        tally=Tally(read=8, done=8),  # two of three failures mended, one record fewer
        summed=Tally(read=8, done=5, failed=3),
    )
    summary = closed(whole, shards)
    assert summary.run_tally == Tally(read=10, done=10)
    assert summary.tally == Tally(read=2, done=2)


def test_closed_run_shows_how_what_it_tolerates_is_replayed() -> None:
    """It has succeeded, and its failures are there all the same."""
    assert closed(a_whole(), [rested(1, done=9, read=9)]).next_command is None
    tolerated = closed(a_whole(), [rested(1, done=9, failed=1, read=10)])
    assert (tolerated.verdict, tolerated.next_command) == (
        Verdict.SUCCEEDED,
        "python -m worker replay poll-payments:key",
    )


def test_closed_run_shows_no_command_with_secrets() -> None:
    """What was masked cannot be typed."""
    assert closed(a_whole(scope={"token": MASK}), [rested(1, "interrupted")]).next_command is None
