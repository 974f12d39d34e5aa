"""What is wrong with a start is said clearly, all of it at once, with exit 2, before any record is touched."""

from pathlib import Path

import pytest
from payments import payments
from worker_process import finished

from worker import registry
from worker.cli.arguments import job_parser

COMPLETE = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none",
    "STRIPE_API_KEY": "sk_test_1234567890",
    "STRIPE_API_BASE": "http://127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["poll-paymnts"], {}, ["no job 'poll-paymnts'; did you mean 'poll-payments'?"]),
        (["poll_payments"], {}, ["did you mean 'poll-payments'?"]),
        (["servee"], {}, ["did you mean 'serve'?"]),
        (["poll-payments", "--scope", "merchant=1"], {}, ["no field 'merchant'; did you mean 'merchant_id'?"]),
        (["poll-payments", "--scope", "merchant_id=x"], {}, ["scope merchant_id: 'x' is not a whole number"]),
        (["poll-payments", "--scope", "merchant_id"], {}, ["has no value: --scope NAME=VALUE"]),
        (
            ["poll-payments", "--records", "5000", "--seed", "1", "--twice"],
            {},
            ["--records goes with --local: did you mean --max-records N?", "--seed goes with --local", "start the job"],
        ),
        (["poll-payments"], {"JOB_MERCHANT_ID": "four"}, ["merchant_id: 'four'"]),
        (["poll-payments"], {"JOB_MERCHNT_ID": "4"}, ["did you mean JOB_MERCHANT_ID?"]),
        (["poll-payments"], {"DATABASE_URL": ""}, ["DATABASE_URL is not set"]),
        (
            ["poll-payments"],
            {"DATABASE_URL": "mysql://u:hush@h/d"},
            ["DATABASE_URL is not a URL of the form postgresql://"],
        ),
        (["poll-payments"], {"STRIPE_API_KEY": ""}, ["STRIPE_API_KEY is not set"]),
        (["poll-payments"], {"WORKER_RATE": "fast", "STOP_TIMEOUT": "-1"}, ["WORKER_RATE='fast'", "STOP_TIMEOUT='-1'"]),
        (["poll-payments", "--run-key", "a b"], {}, ["run key 'a b' is not"]),
        (["poll-payments"], {"SLACK_BOT_TOKEN": "xoxb-12345"}, ["SLACK_CHANNEL is not"]),
        (["poll-payments"], {"LOG_LEVEL": "chatty"}, ["LOG_LEVEL='chatty' is not one of"]),
    ],
)
async def test_bad_input_is_said(arguments: list[str], environment: dict[str, str], said: list[str]) -> None:
    """Each is named with its value and what would be right; exit 2."""
    code, refused = await finished(*arguments, **COMPLETE | environment)
    assert code == 2
    for text in said:
        assert any(text in fault for fault in refused.faults), refused.faults
    assert "hush" not in str(refused.lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dryrun"], "no option --dryrun; did you mean --dry-run? (--help has all of them)\n"),
        (["--max-recrods=5"], "no option --max-recrods; did you mean --max-records? (--help has all of them)\n"),
        (["--tells"], "error: unrecognized arguments: --tells\n"),
        (["5"], "error: unrecognized arguments: 5\n"),
    ],
)
def test_bad_input_of_options_is_one_line_where_it_is_a_slip(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which option was meant, and never one that is not for people; exit 2."""
    with pytest.raises(SystemExit, match="2"):
        job_parser(registry.load("poll-payments")).parse_args(arguments)
    written = capsys.readouterr().err
    assert written.endswith(said)
    assert ("usage" in written) == ("did you mean" not in written)


async def test_bad_input_is_said_all_at_once() -> None:
    """Faults of arguments, environment, scope and job come together."""
    code, refused = await finished(
        "poll-payments", "--scope", "merchant_id=x", "--scope", "foo=1", CONNECT_TIMEOUT="soon"
    )
    assert code == 2
    assert len(refused.faults) == 5


async def test_bad_input_on_a_store_without_schema_says_what_to_run(database_url: str) -> None:
    """A database that was not migrated is a fault of the start, beside those of the job's own query."""
    code, refused = await finished("poll-payments", **COMPLETE | {"DATABASE_URL": database_url})
    assert code == 2
    assert any("run python -m worker migrate" in fault for fault in refused.faults)
    assert any("payments" in fault and "does not exist" in fault for fault in refused.faults)


async def test_bad_input_same_key_with_another_scope_is_refused(database_url: str) -> None:
    """A run key belongs to one scope."""
    async with payments(database_url, 5) as world:
        await finished("poll-payments", "--run-key", "k", **world.environment)
        code, refused = await finished(
            "poll-payments", "--run-key", "k", "--scope", "merchant_id=1", **world.environment
        )
    assert code == 2
    assert "run key 'k' was used with another scope" in refused.faults[0]


JOB_FILES = {
    "syntax": ("def x(:", "cannot be loaded: SyntaxError"),
    "imports": ("import not_there", "cannot be loaded: ModuleNotFoundError"),
    "exits": ("raise SystemExit(0)", "cannot be loaded: SystemExit"),
    "empty": ("", "must define one subclass of Job; it has none"),
    "two": ("from worker import Job\nclass A(Job): pass\nclass B(Job): pass", "it has A, B"),
    "bare": ("from worker import Job\nclass A(Job): pass", "process is missing"),
    "sync": (
        "from worker import Job\nclass A(Job):\n def source(self, run): ...\n def process(self, r, run): ...",
        "process must be an async function",
    ),
    "limits": (
        "from worker import Job, Limits\nclass A(Job):\n limits = Limits(concurrency=0)",
        "concurrency must be 1 or more, not 0",
    ),
    "misspelt": (
        "from worker import Job, Limits\nclass A(Job):\n limits = Limits(concurency=3)",
        "id you mean 'concurrency'?",  # CPython says it by itself from 3.13 on
    ),
    "reserved": (
        "from worker import Job, Scope\nclass S(Scope):\n wait: int = 0\nclass A(Job[S]): pass",
        "'wait' has the name of an option",
    ),
}


@pytest.mark.parametrize("name", JOB_FILES)
async def test_bad_input_job_file_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job file that breaks the contract is refused with what it lacks; `list` shows the other jobs all the same."""
    text, said = JOB_FILES[name]
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("")
    (tmp_path / "jobs" / f"{name}.py").write_text(text)
    root = Path(__file__).parent.parent
    monkeypatch.chdir(tmp_path)
    code, refused = await finished(name, **COMPLETE | {"PYTHONPATH": str(root)})
    assert code == 2
    assert any(said in fault for fault in refused.faults), refused.faults


@pytest.mark.parametrize(
    "command", ["runs", "runs show poll-payments:x", "migrate", "prune --keep 1d", "replay poll-payments:x"]
)
async def test_command_whose_database_is_away_says_so(command: str) -> None:
    """Exit 75, as of everything that passes: nothing is wrong with the command."""
    code, away = await finished(*command.split(), **COMPLETE)
    assert code == 75
    assert away.faults[0].startswith("database 127.0.0.1:1/none: ")
