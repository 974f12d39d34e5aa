"""The table of who tries what again (docs/ecs.md): each figure is the one that the code or the stack has."""

from typing import Any

from definitions import ROOT, container, filled
from stacks import SHARED, of_type

from worker import registry
from worker.aws.placing import PATIENCE_S
from worker.aws.stack_parameters import parameters
from worker.environment import settings
from worker.job import Job
from worker.launches import MOST_RESTARTS
from worker.retry import Retry
from worker.schedule import Every


def rows() -> dict[str, str]:
    """Give what the table says, by who."""
    page = (ROOT / "docs" / "ecs.md").read_text(encoding="utf-8")
    table = page.partition("## Who tries again\n")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {cell[0]: " ".join(cell[1:]) for cell in cells[1:]}


ROWS = rows()


def retry_age(minutes: int) -> float:
    """Give the share of a schedule's interval for which its starts are tried."""
    job: type[Job[Any]] = type("Polled", (registry.load("poll-payments"),), {"schedule": Every(minutes=minutes)})
    return int(parameters(job, ())["RetryAgeSeconds"]) / (60 * minutes)


def test_who_tries_again_is_told_of_everybody() -> None:
    """From the schedule down to the provider's client, and what lies between."""
    assert list(ROWS) == [
        *("the schedule", "EventBridge", "SQS", "Lambda", "the launcher", "the reporter", "the worker"),
        *("the log router", "the provider's client"),
    ]


def test_who_tries_again_schedules_and_events() -> None:
    """Both schedules of a job, the rule on its objects, and the one on ended tasks."""
    scheduled = [of_type("AWS::Scheduler::Schedule")["ByTheScheduler"]["Target"]]
    scheduled += of_type("AWS::Events::Rule")["ByTheRule"]["Targets"]
    assert {
        f"up to {each['RetryPolicy']['MaximumRetryAttempts']} times" in ROWS["the schedule"] for each in scheduled
    } == {True}
    assert f"{retry_age(5):.0%}".replace("%", " %") in ROWS["the schedule"]
    assert (retry_age(300), "an hour at most" in ROWS["the schedule"]) == (1 / 5, True)
    events = [
        *of_type("AWS::Events::Rule")["ByObjects"]["Targets"],
        *of_type("AWS::Events::Rule", SHARED)["StoppedTasks"]["Targets"],
    ]
    assert [each["RetryPolicy"] for each in events] == [
        {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}
    ] * 2
    assert "up to 10 times within an hour" in ROWS["EventBridge"]
    queue = of_type("AWS::SQS::Queue")["Objects"]
    every, times = queue["VisibilityTimeout"] // 60, queue["RedrivePolicy"]["maxReceiveCount"]
    assert f"every {every} minutes, {times} times ({every * times // 60} hours)" in ROWS["SQS"]


def test_who_tries_again_functions() -> None:
    """Lambda's own tries of launcher and reporter; the auditor's none."""
    failures = of_type("AWS::Lambda::EventInvokeConfig", SHARED)
    tries = {name: (one["MaximumRetryAttempts"], one["MaximumEventAgeInSeconds"]) for name, one in failures.items()}
    assert tries == {"LauncherFailures": (2, 900), "ReporterFailures": (2, 3_600), "AuditorFailures": (0, 300)}
    assert "twice more, for 15 minutes and an hour" in ROWS["Lambda"]
    assert "the next audit comes in 5 minutes" in ROWS["Lambda"]
    assert f"for {PATIENCE_S:g} s" in ROWS["the launcher"]
    assert (MOST_RESTARTS, "three starts by itself" in ROWS["the reporter"]) == (3, True)


def test_who_tries_again_in_the_task() -> None:
    """The worker's tries of a record, its patience with the database, and the log router's."""
    assert f"the job's `retry`, {Retry().attempts} tries" in ROWS["the worker"]
    assert f"`DATABASE_BUDGET`, {settings({}).database_budget_s:g} s" in ROWS["the worker"]
    options = container(filled("poll-payments"), "worker")["logConfiguration"]["options"]
    assert ROWS["the log router"].startswith(f"lines that CloudWatch did not take {options['retry_limit']} times")
