"""worker/aws: every recorded way for a task to end has its verdict, what is safe, and the command that comes next."""

import shlex
from typing import Any

import pytest
from endings import ENDINGS, an_event, event_of

from worker.aws.stopped import stopped
from worker.aws.verdicts import OVER, SAFE, UNSAFE, explain
from worker.cli.arguments import command_parser

PASSING = pytest.mark.parametrize("ending", ENDINGS, ids=[ending["name"] for ending in ENDINGS])


def test_stopped_table_is_whole() -> None:
    """Thirty recorded ways at least, each with its source, no two alike."""
    assert len({ending["name"] for ending in ENDINGS}) == len(ENDINGS) >= 30
    assert all(ending["source"] for ending in ENDINGS)


@PASSING
def test_stopped_task_is_judged(ending: dict[str, Any]) -> None:
    """Its verdict, whether it may be started again as it is, by itself, and whether the worker could tell Slack."""
    found = explain(stopped(event_of(ending)), ending.get("said", ""))
    told = (found.verdict, found.safe_to_start_again, found.restart, found.silent)
    assert told == (ending["verdict"], ending["safe"], ending["restart"], ending["silent"])


@PASSING
def test_stopped_message_says_what_happened_what_is_safe_and_the_next_command(ending: dict[str, Any]) -> None:
    """In one text: ECS's own words, one of three sentences about safety, and a command with the run in it."""
    found = explain(stopped(event_of(ending)), ending.get("said", ""))
    happened, *rest = [part for part in (SAFE, UNSAFE, OVER) if part in found.message]
    assert rest == []
    assert found.message.startswith("poll-payments: ")
    assert found.message.endswith(f"Next: {found.next_command}")
    assert "2026-11-24T02:00:00Z" in found.next_command
    assert ending["detail"]["stopCode"] in found.message
    assert all(
        words in found.message for words in (ending["detail"]["stoppedReason"], ending["worker"].get("reason", ""))
    )
    assert found.safe_to_start_again == (happened in (SAFE, OVER))


@PASSING
def test_stopped_message_says_what_comes_before_the_next_command(ending: dict[str, Any]) -> None:
    """Pasted as it stands the command would end the same where something has to be mended: that is said right before it."""
    found = explain(stopped(event_of(ending)), ending.get("said", ""))
    assert found.safe_to_start_again or found.sentences[-1].startswith("What to do first: ")


@PASSING
def test_stopped_next_command_is_one_that_there_is(ending: dict[str, Any]) -> None:
    """The command line takes it as it stands."""
    task = stopped(event_of(ending))
    for scope in ("", "--scope merchant_id=42", None):
        program, option, module, word, *words = shlex.split(explain(task, scope=scope).next_command)
        assert (program, option, module) == ("python", "-m", "worker")
        if word == "runs":
            word = f"{word} {words.pop(0)}"
        assert command_parser(word).parse_args(words)


@PASSING
def test_stopped_task_is_started_again_only_where_that_may_help(ending: dict[str, Any]) -> None:
    """Nothing that has to be mended first is started again by itself; nor a success; nor what somebody stopped."""
    found = explain(stopped(event_of(ending)), ending.get("said", ""))
    assert not (found.restart and not found.safe_to_start_again)
    assert not (found.restart and found.verdict in ("succeeded", "stopped by hand", "deadline passed"))


@pytest.mark.parametrize(
    ("cpu", "memory", "own", "said"),
    [
        ("512", "1024", "512", "give it 1024, and the task cpu 512 and memory 2048"),
        ("256", "512", None, "give it 1024, and the task cpu 256 and memory 1024"),
        ("256", "2048", "2048", "give it 4096, and the task cpu 512 and memory 4096"),
        ("1024", "3072", "2048", "give it 4096, and the task cpu 1024 and memory 5120"),
        ("8192", "61440", None, "give it 122880, and the task cpu 16384 and memory 122880"),
        ("16384", "122880", None, "Fargate offers no twice of that: share the run out"),
        (None, None, None, "its summaries say how much it used at most"),
    ],
)
def test_stopped_out_of_memory_suggests_a_size_that_fargate_has(
    cpu: str | None, memory: str | None, own: str | None, said: str
) -> None:
    """Twice the memory for the worker, room for its sidecars, and the least CPU that comes with it."""
    event = an_event("out of memory", cpu=cpu, memory=memory)
    event["detail"]["containers"][0]["memory"] = own
    assert said in explain(stopped(event)).message


def test_stopped_scope_is_in_the_next_command() -> None:
    """The same run key needs the same scope."""
    found = explain(stopped(an_event("SIGKILL without a reason")), scope="--scope merchant_id=42")
    assert (
        found.next_command
        == "python -m worker launch poll-payments --run-key 2026-11-24T02:00:00Z --scope merchant_id=42"
    )


SHARD = [{"name": "RUN_KEY", "value": "k"}, {"name": "SHARD", "value": "3/8"}]


@pytest.mark.parametrize(
    ("command", "variables", "after"),
    [
        ([], SHARD, "launch poll-payments --run-key k --scope merchant_id=42 --shard 3/8"),
        (
            ["poll-payments", "--dry-run"],
            SHARD[:1],
            "launch poll-payments --run-key k --scope merchant_id=42 --dry-run",
        ),
        (
            ["poll-payments", "--dry-run", "--max-records", "5", "--max-affected", "7"],
            SHARD[:1],
            "launch poll-payments --run-key k --scope merchant_id=42 --dry-run --max-records 5 --max-affected 7",
        ),
        (["poll-payments", "--wait"], SHARD[:1], "launch poll-payments --run-key k --scope merchant_id=42"),
        (["poll-payments", "--shards", "8"], SHARD[:1], "runs show poll-payments:k"),
        (["replay", "poll-payments:k"], SHARD[:1], "runs show poll-payments:k"),
    ],
)
def test_stopped_next_command_starts_the_same(command: list[str], variables: list[dict[str, str]], after: str) -> None:
    """A shard that shard, a dry run a dry one; where `launch` has no words for it, the command that shows it."""
    override = {"containerOverrides": [{"name": "worker", "command": command, "environment": variables}]}
    found = explain(stopped(an_event("SIGKILL without a reason", overrides=override)), scope="--scope merchant_id=42")
    assert found.next_command == f"python -m worker {after}"
    word, *words = shlex.split(after)
    assert command_parser(f"{word} {words.pop(0)}" if word == "runs" else word).parse_args(words)


def test_stopped_failure_is_looked_at_first() -> None:
    """What failed is not started again by whoever pastes the command, before anybody knows why."""
    found = explain(stopped(an_event("aborted, crashed or too many failures")), "12 of 40 records failed")
    assert found.next_command == "python -m worker runs show poll-payments:2026-11-24T02:00:00Z"
    assert "the worker said: 12 of 40 records failed" in found.message


def test_stopped_sidecar_is_named() -> None:
    """With its exit code: that is what has to be looked at."""
    assert "datadog-agent exited 1" in explain(stopped(an_event("an essential sidecar failed"))).message
    late = explain(
        stopped(an_event("its deadline passed, and a sidecar failed in its stop")), "the deadline of 9 s passed"
    )
    assert "exited 1" not in late.message


def test_stopped_says_what_to_do_apart_from_ecs_words() -> None:
    """ECS can be longer than Slack has room for: what to do is a sentence of its own, behind what is safe."""
    found = explain(stopped(an_event("secrets out of reach")))
    assert [sentence.partition(" ")[0] for sentence in found.sentences] == ["poll-payments:", "The", "What"]
    assert found.sentences[2].startswith("What to do: if it comes again: the subnets need a way to Secrets Manager")


def test_stopped_task_without_a_run_key_is_found_among_the_runs() -> None:
    """A key that the worker made up is known to the run store alone."""
    found = explain(stopped(an_event("SIGKILL without a reason", overrides={})))
    assert found.next_command == "python -m worker runs poll-payments"


def test_stopped_job_is_the_family_whatever_the_group() -> None:
    """Who starts a task may choose its group."""
    assert stopped(an_event(group="nightly")).job == "poll-payments"
    assert stopped(an_event(group="family:poll-payments")).job == "poll-payments"


@pytest.mark.parametrize(
    "event",
    [{}, {"detail": []}, {"detail": {"lastStatus": "RUNNING", "taskArn": "a"}}, {"detail": {"lastStatus": "STOPPED"}}],
)
def test_stopped_refuses_what_is_no_stopped_task(event: dict[str, Any]) -> None:
    """It belongs in the dead letters."""
    with pytest.raises(ValueError, match="no ECS Task State Change"):
        stopped(event)


def test_stopped_event_may_lack_all_but_the_task() -> None:
    """Fields come and go with AWS: what is missing is not guessed."""
    found = explain(stopped({"detail": {"lastStatus": "STOPPED", "taskArn": "arn:t/x", "containers": None}}))
    assert (found.verdict, found.restart) == ("never started", True)
