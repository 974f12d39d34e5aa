"""The doctor finds each fault that is planted in a copy of our own files, there and nowhere else, and nothing in our own files."""

import asyncio
import copy
import io
import json
import os
import random
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from definitions import FILES, ROOT, shown_values, values
from payments import payments
from planted import ELSEWHERE, JOB, PLANTED, SCHEDULED, STACKS, Change, Copy, another, nodes
from planted import job as plant_job
from store_worlds import granted, postgres_world
from stored import a_batch, a_claim

from worker import registry
from worker.aws.doctor import codes
from worker.aws.doctor.clocks import hazards
from worker.aws.doctor.examination import examine
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import read
from worker.cli import diagnosis
from worker.cli.arguments import command_parser
from worker.cli.doctor import examine_all
from worker.errors import Faults
from worker.schedule import Cron

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
CURSOR = ("cursor-misfits", JOB)
IDS = [f"{number}-{code}" for number, (code, _) in enumerate(PLANTED)]


@pytest.mark.parametrize(("code", "plant"), PLANTED, ids=IDS)
def test_doctor_finds_what_is_planted(code: str, plant: Change) -> None:
    """It finds that fault, says where, why and how to mend it, and finds no other."""
    ours = Copy()
    plant(ours)
    found = examine(ours.project)
    assert {(finding.code, finding.job or JOB) for finding in found} == {(code, JOB)}, found
    for finding in found:
        assert finding.place
        assert finding.what
        assert finding.mend
        assert finding.why == codes.ALL[code].why


def test_doctor_finds_nothing_in_our_own_files() -> None:
    """All jobs, before and after their variables have values."""
    ours = Copy()
    assert set(ours.jobs) == set(registry.names())
    assert examine(ours.project) == []
    ours.values = {name: value for text in ours.definitions.values() for name, value in values(text).items()}
    assert examine(ours.project) == []


def test_doctor_has_every_code_planted() -> None:
    """No check is there that was never seen to find anything."""
    assert len(PLANTED) >= 25
    assert {code for code, _ in PLANTED} | ELSEWHERE == set(codes.ALL)


def test_doctor_finds_a_write_without_its_transaction() -> None:
    """A job that writes within the page commit needs PostgreSQL."""
    ours = Copy()
    ours.definitions[JOB] = (
        ours.definitions[JOB]
        .replace('{"name": "DATABASE_URL", "valueFrom": "${DATABASE_URL_ARN}"},', "")
        .replace('{"name": "LOG_FORMAT"', '{"name": "RUN_TABLE", "value": "runs"}, {"name": "LOG_FORMAT"')
    )
    assert [finding.code for finding in examine(ours.project)] == ["no-transaction"]


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("30 2 * * ? *", "Europe/Berlin", ["2027-03-28 02:30 does not exist", "2027-10-31 02:30 comes twice"]),
        ("0 3 * * ? *", "Europe/Berlin", []),
        ("45 1 * * ? *", "Australia/Lord_Howe", ["2027-04-04 01:45 comes twice"]),
        ("0 2 ? * MON *", "Europe/Berlin", []),
        ("30 * * * ? *", "Europe/Berlin", []),
        ("30 2 * * ? *", "UTC", []),
        ("30 2 * * ? *", "Asia/Tokyo", []),
    ],
)
def test_doctor_knows_when_clocks_change(expression: str, zone: str, said: list[str]) -> None:
    """A local time in the gap or the repeat is named with its day; an hourly schedule loses nothing."""
    assert [text.rpartition(" in ")[0] for text in hazards(Cron(expression, zone), NEW_YEAR)] == said


def test_doctor_asks_no_interval_of_what_comes_once() -> None:
    """One time, or none, is nothing that could pile up."""
    ours = Copy()
    plant_job(schedule=Cron("0 12 1 1 ? 2099"))(ours)
    assert examine(ours.project) == []


@pytest.mark.parametrize("narrowed", ['"scope": {"merchant_id": 42}', '"scope_ref": "s3://b/k"'])
def test_doctor_lets_a_part_have_a_schedule_of_its_own(narrowed: str) -> None:
    """A second schedule for a part of the scope comes when it likes: the job's is that of the whole."""
    ours = Copy()
    another(SCHEDULED.replace('"job": "poll-payments"', f'"job": "poll-payments", {narrowed}'))(ours)
    assert examine(ours.project) == []


@pytest.mark.parametrize("seed", range(3))
def test_doctor_outlives_what_is_malformed(seed: int) -> None:
    """Whatever stands where something else should, it ends with findings and not with a traceback."""
    chance = random.Random(seed)
    for _ in range(20):
        ours = Copy(stacks=copy.deepcopy(Copy().stacks))
        ours.only()
        document = json.loads(ours.definitions[JOB])
        resources = [resource.properties for resource in chance.choice(ours.stacks).resources]
        for whole in (document, resources):
            node, key = chance.choice([(node, key) for node in nodes(whole) for key in node])
            node[key] = chance.choice(
                [None, "x", 7, [], {}, ["x"], {"Ref": "Job"}, {"Ref": []}, {"Fn::If": ["C", "x", {}]}]
            )
        ours.definitions[JOB] = json.dumps(document)
        examine(ours.project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("[]", "is no CloudFormation template"),
        ("Resources: {A: {}}", "missing required field `Type`"),
    ],
)
def test_doctor_refuses_what_is_no_template(text: str, said: str) -> None:
    """It says what is wrong with it."""
    with pytest.raises(ValueError, match=said):
        read("x.yaml", text)


def test_doctor_reads_short_tags() -> None:
    """Each tag is what CloudFormation makes of it; parameters have values as far as they are known."""
    template = read(
        "x.yaml",
        """
        Parameters: {Age: {Type: Number, Default: 60}, Name: {Type: String}}
        Resources:
          One:
            Type: T
            Properties: {a: !GetAtt A.B.C, b: !Sub "${Name}-x", c: !If [D, !Ref Age, !Ref AWS::NoValue], d: !Ref Age}
        """,
    )
    properties = template.resources[0].properties
    assert properties["a"] == {"Fn::GetAtt": ["A", "B.C"]}
    assert properties["c"] == {"Fn::If": ["D", {"Ref": "Age"}, {"Ref": "AWS::NoValue"}]}
    assert (template.text(properties["b"]), template.number(properties["d"])) == ("${Name}-x", 60)
    named = template.given({"Name": "batch", "Age": "90", "Other": "1"})
    assert (named.text(properties["b"]), named.number(properties["d"])) == ("batch-x", 90)


def test_doctor_knows_which_resources_stand() -> None:
    """A condition is asked as far as its values are known; a resource that may be there is looked at."""
    template = read(
        "x.yaml",
        """
        Parameters: {By: {Type: String, Default: rule}, Where: {Type: String}}
        Conditions:
          Rule: !Equals [!Ref By, rule]
          Here: !Equals [!Ref Where, here]
          Both: !And [!Condition Rule, !Condition Here]
          One: !Or [!Condition Rule, !Condition Here]
          Neither: !Not [!Condition One]
        Resources:
          Always: {Type: T}
          Rule: {Type: T, Condition: Rule}
          Both: {Type: T, Condition: Both}
          One: {Type: T, Condition: One}
          Neither: {Type: T, Condition: Neither}
        """,
    )

    def standing(**values: str) -> set[str]:
        known = template.given(values)
        return {resource.name for resource in known.resources if known.stands(resource)}

    assert standing() == {"Always", "Rule", "Both", "One"}
    assert standing(By="nobody") == {"Always", "One", "Neither"}
    assert standing(By="nobody", Where="there") == {"Always", "Neither"}
    assert standing(Where="here") == {"Always", "Rule", "Both", "One"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder with our worker and jobs, and a copy of our task definitions."""
    for name in ("worker", "jobs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "task-definitions", tmp_path / "task-definitions")
    return tmp_path


async def doctor(root: Path, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the command; give exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "doctor", *arguments),
        cwd=root,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "LOG_FORMAT": "text", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    return process.returncode or 0, said.decode(), errors.decode()


def here(*arguments: str) -> int:
    """Run the command in this process; give its exit code."""
    return examine_all(command_parser("doctor").parse_args(arguments))


async def test_doctor_exits_0_where_nothing_is_found(root: Path) -> None:
    """The last line says what was looked at, and what was not."""
    code, said, errors = await doctor(root)
    assert (code, errors) == (0, "")
    assert said.startswith(f"nothing found in {len(FILES)} jobs, {len(FILES)} task definitions, ")
    assert "the run store (neither DATABASE_URL nor RUN_TABLE is set)" in said
    assert "--values FILE" in said


async def test_doctor_exits_1_on_findings(root: Path) -> None:
    """One JSON object a finding, of the job that was asked for; what was looked at is on stderr."""
    for name in (JOB, "daily-report"):
        file = root / "task-definitions" / f"{name}.json"
        file.write_text(file.read_text().replace('"stopTimeout": 120', '"stopTimeout": 600'))
    code, said, errors = await doctor(root, JOB, "--json")
    assert code == 1
    [finding] = [json.loads(line) for line in said.splitlines()]
    assert finding.keys() == {"code", "job", "file", "path", "what", "why", "mend"}
    assert (finding["code"], finding["job"]) == ("stop-timeout", JOB)
    assert (finding["file"], finding["path"]) == (
        f"task-definitions/{JOB}.json",
        "containerDefinitions[worker].stopTimeout",
    )
    assert finding["mend"] == '"stopTimeout": 120'
    assert errors.startswith("1 finding in 1 job, 1 task definition, ")


def test_doctor_takes_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file names what the release and the stack will be given."""
    text = FILES[JOB].read_text(encoding="utf-8")
    given = "".join(f"{name}={value}\n" for name, value in values(text).items())
    file = tmp_path / "production.env"
    file.write_text(f"# of {JOB}\n\n{given}Schedule=rate(5 minutes)\n")
    assert here(JOB, "--values", str(file)) == 0
    assert "--values" not in capsys.readouterr().out
    assert here(JOB, "--values", str(file), "IMAGE=worker", "Schedule=rate(5 hours)") == 1
    said = capsys.readouterr().out
    assert "  moving-image  " in said
    assert "  schedule-disagrees  " in said


def test_doctor_shows_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the environment holds is masked wherever it comes up."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "hunter2")
    monkeypatch.setenv("STOP_TIMEOUT", "hunter2")
    assert here() == 1
    said = capsys.readouterr().out
    assert "SLACK_WEBHOOK_URL is not a URL" in said
    assert "hunter2" not in said


async def test_doctor_goes_on_where_files_are_broken(root: Path) -> None:
    """A template, a definition and a job that cannot be read are findings, and the rest is looked at all the same."""
    (root / "jobs").unlink()
    (root / "jobs").mkdir()
    shutil.copy(ROOT / "jobs" / "poll_payments.py", root / "jobs")
    (root / "jobs" / "broken.py").write_text("from worker import Jobb\n")
    definitions = root / "task-definitions"
    for file in definitions.glob("*.json"):
        if file.stem != JOB:
            file.unlink()
    (definitions / "broken.json").write_bytes(b"\xff{")
    (definitions / "job.yaml").write_text("Resources: [\n")
    (definitions / f"{JOB}.json").write_text(FILES[JOB].read_text().replace('"stopTimeout": 120', '"stopTimeout": 600'))
    code, said, errors = await doctor(root, "--json")
    found = [json.loads(line) for line in said.splitlines()]
    assert code == 1, errors
    assert {(each["code"], each["file"]) for each in found} == {
        ("broken-job", "jobs/broken.py"),
        ("malformed", "task-definitions/broken.json"),
        ("malformed", "task-definitions/job.yaml"),
        ("stop-timeout", f"task-definitions/{JOB}.json"),
    }
    assert f"{len(STACKS)} stacks" in errors


def test_doctor_finds_nothing_in_the_values_that_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first command of docs/ecs.md, with the file above it: what `make deploy` fills in itself is asked of nobody."""
    file = tmp_path / "production.env"
    file.write_text(shown_values())
    assert here(JOB, "--values", str(file), "IMAGE=ecs-batch-worker:1.2.3") == 0, capsys.readouterr().out
    assert "nothing found in 1 job" in capsys.readouterr().out


async def test_doctor_exits_2_on_usage(root: Path) -> None:
    """What was asked for wrongly is said, and nothing else."""
    code, output, errors = await doctor(root, "poll-payment")
    assert (code, output) == (2, "")
    assert "did you mean 'poll-payments'?" in errors


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("A=1\nno pair\n", "'no pair' is not NAME=value")]
)
def test_doctor_refuses_values(text: str | None, said: str, tmp_path: Path) -> None:
    """A file that is not there, or holds something else."""
    file = tmp_path / "production.env"
    if text:
        file.write_text(text)
    with pytest.raises(Faults, match=said):
        here("--values", str(file))


async def test_doctor_says_what_is_not_installed(root: Path) -> None:
    """Without PyYAML it names the extra."""
    (root / "yaml.py").write_text("raise ImportError('none here')")
    code, _, errors = await doctor(root)
    assert code == 2
    assert "pip install 'ecs-batch-worker[doctor]'" in errors


async def test_doctor_asks_the_run_store(root: Path, database_url: str) -> None:
    """A run whose cursor the job's source no longer fits is found, by key and by type; one that fits is none."""
    async with payments(database_url, 10) as world, postgres_world(database_url, 1) as stored:
        [store] = stored.stores
        await granted(store, a_claim())
        for source, cursor, found in (("id", [7], []), ("id", ["x"], [CURSOR]), ("created_at, id", [1, 7], [CURSOR])):
            await stored.commit(store, a_batch({}, cursor=7))
            await tampered(database_url, source, cursor)
            code, said, errors = await doctor(root, JOB, "--json", **world.environment)
            assert [(each["code"], each["job"]) for each in map(json.loads, said.splitlines())] == found
            assert (code, "run store" in errors) == (1 if found else 0, False)


async def test_doctor_says_that_the_run_store_is_not_there(root: Path, database_url: str) -> None:
    """A database without its schema is a finding: no run would start."""
    code, said, _ = await doctor(root, JOB, DATABASE_URL=database_url)
    assert code == 1
    assert "run-store" in said
    assert "python -m worker migrate" in said


async def tampered(url: str, source: str, cursor: list[Any]) -> None:
    """Have the store say that a run was paged by another key."""
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE worker.runs SET source = $1, cursor = $2", source, json.dumps(cursor))
    await connection.close()


FINDING = Finding(code="stop-timeout", job=JOB, file="a.json", path="b", what="is 600", why="Why.", mend="x" * 200)


def test_doctor_writes_plain_lines() -> None:
    """By job, with all that is to be known, in a pipe."""
    assert diagnosis.lines([FINDING]) == [
        JOB,
        "  stop-timeout  a.json · b",
        "      is 600",
        "      why   Why.",
        f"      mend  {'x' * 200}",
        "",
    ]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_doctor_draws_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In colours, with what is to be pasted in one piece."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    diagnosis.write([FINDING], "1 finding", stream)
    assert "\x1b[1;31mstop-timeout\x1b[0m" in stream.getvalue()
    assert "x" * 200 in stream.getvalue()
