"""Plans: the arithmetic, what is looked up for it, and the command that says it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from payments import payments
from worker_process import finished, worker

from worker.errors import Faults
from worker.events import Spent, Start, Summary, Task
from worker.limits import Limits, Rate
from worker.plan import START_S, Measured, Plan, Prices, Work, measured, plan
from worker.report.plan_lines import lines
from worker.runs import RunView
from worker.size import Size
from worker.tally import Tally
from worker.verdict import Verdict

ROOT = Path(__file__).parent.parent
NOW = datetime.now(UTC)
KNOWN = Measured(in_flight_s=0.1, cpu_s=0.001)


def planned(limits: Limits, known: Measured = KNOWN, records: int = 1_000_000, **what: Any) -> Plan:
    size = Size(cpu=1024, memory=2048)
    return plan(
        Work(
            **{
                "job": "job",
                "records": records,
                "limits": limits,
                "measured": known,
                "timeout_s": 3600,
                "size": size,
                **what,
            }
        )
    )


def test_plan_of_what_a_rate_limits_is_not_helped_by_shards() -> None:
    """Nor by a limit that cannot be divided evenly: eight shards of 90 calls have 11 each, or one more."""
    made = planned(Limits(rate=Rate(90)))
    assert (made.enough, made.bounds[0].part) == (1, "rate")
    assert made.among(8).ways[1].per_second == pytest.approx(88 * 0.99)
    shared = planned(Limits(rate=Rate(90, name="stripe", shared=True))).among(8).ways
    assert [way.per_second for way in shared] == [pytest.approx(90 * 0.98)] * 2


def test_plan_of_what_a_core_limits_is_helped_until_something_else_does() -> None:
    """Two seconds of CPU are two seconds of CPU: up to there the cost stays the same."""
    made = planned(Limits(concurrency=800, rate=Rate(6_000)))
    assert (made.bounds[0].part, made.enough) == ("CPU", 6)
    ways = {way.shards: way for way in made.ways}
    assert list(ways) == [1, 2, 4, 6, 12]
    assert [ways[n].limited_by for n in (4, 6, 12)] == ["CPU", "rate", "rate"]
    assert ways[1].duration_s == pytest.approx(START_S + 1_000)
    assert ways[4].cost == pytest.approx(ways[1].cost, rel=0.15)
    assert ways[12].cost > 1.9 * ways[6].cost
    assert made.first_within(300) == 4
    assert made.first_within(100) is None


def test_plan_shares_the_database_and_says_what_it_is_asked_for() -> None:
    """Shards multiply commits and connections; what the database bears is the limit of all."""
    made = planned(Limits(concurrency=1000, page_size=100), writes=3_000, connections=3).among(10)
    assert [way.limited_by for way in made.ways] == ["CPU", "database"]
    assert [(way.commits_per_second, way.connections) for way in made.ways] == [(10, 3), (30, 30)]


def test_plan_ends_where_limits_cannot_be_shared() -> None:
    """A concurrency of 4 is shared by four; a source that cannot be divided by nobody."""
    assert planned(Limits(concurrency=4)).most == 4
    alone = planned(Limits(concurrency=400), divisible=False)
    assert (alone.most, len(alone.ways)) == (1, 1)
    for made, shards, said in (
        (planned(Limits(concurrency=4)), 5, "concurrency of 4"),
        (alone, 2, "cannot be divided"),
    ):
        with pytest.raises(Faults, match=said):
            made.among(shards)


@pytest.mark.parametrize(
    ("limits", "records", "said"),
    [
        (Limits(rate=Rate(90)), 1_000_000, "Shards do not help: rate is the run's."),
        (
            Limits(concurrency=100_000),
            1_000,
            "Shards do not help: they take longer to start than one task to do the work.",
        ),
        (
            Limits(concurrency=800, rate=Rate(6_000)),
            1_000_000,
            "Up to 6 shards help; more do not: rate is the limit of",
        ),
        (Limits(concurrency=100_000), 200_000, "shards help; more do not: they take longer to start than they save."),
        (Limits(concurrency=200_000), 10**9, "Up to 1,000 shards help; more cannot share its limits."),
        (Limits(concurrency=20), 10**6, "Shards do not help: concurrency is the run's."),
    ],
)
def test_plan_says_whether_shards_help(limits: Limits, records: int, said: str) -> None:
    """And why more of them would not; asked for a number, it says the same."""
    made = planned(limits, records=records)
    assert said in "\n".join(lines(made, "all"))
    assert said in "\n".join(lines(made.among(2), "all"))


def test_plan_says_which_concurrency_would_do() -> None:
    """As many records in flight as the next part lets through in the time of one."""
    assert planned(Limits(concurrency=8, rate=Rate(1_000))).concurrency == 99
    assert planned(Limits(concurrency=800, rate=Rate(90))).concurrency is None


def test_plan_of_nothing_known_is_a_fault() -> None:
    """Without limit and figures there is nothing to say; no records are no work."""
    with pytest.raises(Faults, match="no run of job that went on for two seconds tells how long a record takes"):
        planned(Limits(concurrency=4), Measured())
    assert planned(Limits(rate=Rate(90)), Measured(), records=0).ways[0].work_s == 0


def test_plan_costs_a_minute_at_least_and_what_the_page_says() -> None:
    """The prices stand in one place; docs/when-to-use.md says the same."""
    page = (ROOT / "docs" / "when-to-use.md").read_text(encoding="utf-8")
    prices, shipped = Prices(), Size(cpu=512, memory=1024)
    assert f"${prices.vcpu_hour} for a vCPU and hour, ${prices.gb_hour} for a GB and hour" in page
    assert all(words in page for words in ("Linux on x86", "us-east-1", "list prices of March 2026"))
    assert f"**${3600 * prices.second(shipped):.4f}**" in page
    short = planned(Limits(rate=Rate(90)), records=90, size=shipped).ways[0]
    assert short.cost == pytest.approx(60 * prices.second(shipped))


def ran(key: str, records: int = 1_000, duration_s: float = 20.0, spent: Spent | None = None, **what: Any) -> RunView:
    spent = spent or Spent(in_flight_s=100.0, cpu_s=2.0, reading_s=1.0, committing_s=0.5, calls={"stripe": 1_100})
    start = Start(job="job", run_id=f"job:{key}", run_key=key, attempt=1, started_at=NOW, task=Task(cpu_limit=0.5))
    summary = Summary(
        start=start,
        verdict=Verdict.SUCCEEDED,
        ended_at=NOW,
        duration_s=duration_s,
        tally=Tally(read=records, done=records),
        spent=spent,
    )
    told = {**msgspec.to_builtins(summary), **what.pop("summary", {})}
    return RunView(
        run_id=f"job:{key}", job="job", run_key=key, status="succeeded", created_at=NOW, summary=told, **what
    )


def test_measured_is_the_largest_run_that_tells() -> None:
    """Dry runs, short ones and those of an older version say nothing; nor do records that waited for their core."""
    old = ran("old", 9_000)
    assert old.summary is not None
    del old.summary["spent"]
    runs = [ran("small", 10), ran("k"), ran("dry", 9_000, dry_run=True), ran("short", 9_000, 1.0), old]
    bare: dict[str, Any] = {"job": "job", "run_key": "x", "status": "running", "created_at": NOW}
    untold = [RunView(run_id="job:x", **bare), RunView(run_id="job:x", summary={"tally": "of another version"}, **bare)]
    known = measured([*runs, *untold])
    assert known == Measured(
        run="job:k",
        records=1_000,
        in_flight_s=0.1,
        cpu_s=0.002,
        reading_s=0.001,
        committing_s=0.0005,
        calls={"stripe": 1.1},
    )
    assert measured(runs[2:]) is None
    busy = Spent(in_flight_s=100.0, cpu_s=9.5)
    assert (found := measured([ran("k", spent=busy)])) is not None
    assert (found.in_flight_s, found.cpu_s) == (None, 0.0095)
    spread = measured([ran("k", spent=busy, summary={"shards": [{}, {}]})])
    assert spread is not None
    assert spread.in_flight_s == 0.1


def test_plan_says_whence_it_knows_and_what_is_start() -> None:
    """What was said is spoken of where something was; the 40 s are told beside the times that have them."""
    known = replace(KNOWN, run="job:k", records=1_000)
    for said, whence in ((False, "1,000 records)"), (True, "1,000 records), but for what was said")):
        told = list(lines(planned(Limits(rate=Rate(90)), replace(known, said=said)), "all"))
        assert f"  as in run job:k ({whence}" in told
        assert any(line.startswith(f"TAKES is from the launch on: {START_S:g} s of it") for line in told)


def test_measured_memory_is_held_against_the_task() -> None:
    """Half again as much as the peak is to be there."""
    limits, size = Limits(rate=Rate(90)), Size(cpu=512, memory=1024)
    assert planned(limits, replace(KNOWN, peak_memory=400 * 2**20), size=size).memory_is_short
    assert not planned(limits, replace(KNOWN, peak_memory=300 * 2**20), size=size).memory_is_short


async def test_plan_command_plans_from_a_canary(database_url: str) -> None:
    """It counts what is left, knows what the canary's records took, and starts nothing."""
    async with payments(database_url, 2_000, delay=0.05, fail=0) as world:
        limited = world.environment | {"WORKER_RATE": "150"}
        [[processing]] = await world.sql("SELECT count(*) FROM payments WHERE status = 'processing'")
        async with worker("poll-payments", "--max-records", "400", **limited) as canary:
            await canary.started()
            await world.calls.until(100)
            asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'worker poll-payments%'"
            [[connections]] = await world.sql(asked)
            await canary.ended()
        async with worker("launch", "poll-payments", "--plan", "--json", **limited) as planning:
            told = json.loads(await planning.output())
        [[launches]] = await world.sql("SELECT count(*) FROM worker.launches")
    work, known, [one, _] = told["work"], told["work"]["measured"], told["ways"]
    assert (launches, connections, one["connections"]) == (0, 4, 4)
    assert processing - 400 <= work["records"] <= processing
    assert (known["run"], known["records"]) == (canary.end["run_id"], 400)
    assert 0.03 <= known["in_flight_s"] <= 0.1, "it was 0.05 at the provider"
    assert 0.9 <= known["calls"]["stripe"] <= 1.2
    assert 0 < known["cpu_s"] < 0.02
    assert one["limited_by"] == "rate stripe"
    assert work["size"]["cpu"] == 512, "its definition's"


WRONG = {
    "poll-payments": ([], "reads from PostgreSQL: set DATABASE_URL, or say how many records there are: --records N"),
    "sync-customers": ([], "cannot say how many records there are: --records N"),
    "expire-sessions": (
        ["--records=10"],
        "no run of expire-sessions that went on for two seconds tells how long a record takes: start a canary first",
    ),
    "daily-report": (["--records=10", "--record-cpu=1", "--prices=1"], "is not two numbers with a comma between"),
    "deliver-webhooks": (["--records=10", "--record-seconds=1", "--shards=2"], "its source cannot be divided"),
    "extract-orders": (["--records=10"], "scope date is required"),
}
LACKING = ("SESSIONS_TABLE", "ARCHIVE_BUCKET", "REPORTS_BUCKET", "WEBHOOK_QUEUE_URL")


@pytest.mark.parametrize("job", WRONG)
async def test_plan_command_says_what_it_lacks(job: str) -> None:
    """Exit 2, and what to do."""
    arguments, said = WRONG[job]
    given = dict.fromkeys(LACKING, "https://sqs.eu-west-1.amazonaws.com/1/x")
    code, refused = await finished("launch", job, "--plan", *arguments, **given)
    assert code == 2
    assert said in refused.faults[0]


async def test_plan_options_go_with_plan() -> None:
    """Somebody who forgets --plan starts nothing."""
    code, started = await finished("launch", "poll-payments", "--shards", "8", "--records", "5")
    assert (code, started.faults) == (2, ["--shards goes with --plan", "--records goes with --plan"])
