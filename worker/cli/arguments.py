"""What the command line takes, and the help that teaches it."""

import argparse
from typing import Any

from worker import registry
from worker.cli.commands import COMMANDS, PROGRAM
from worker.cli.describe import bounds
from worker.cli.parser import Parser
from worker.cli.values import age, days, network, positive
from worker.errors import Faults
from worker.job import Job
from worker.scope import described, variable
from worker.verdict import Verdict

_LOCAL = """PostgreSQL, AWS, the payment provider, a receiver of webhooks: what the job needs and the environment does not name
(DATABASE_URL, AWS_ENDPOINT_URL, STRIPE_API_BASE, WEBHOOKS_URL), filled by jobs/local/<job_name>.sql or .py."""


SERVERS = {"records": 5_000, "provider_rate": 100, "provider_delay": 0.02, "provider_fail": 0.02, "seed": 7}
"""What may be said of the local servers, each with what it is where nobody says it. A job's own options are None then."""


def overview() -> str:
    """Give the help of `python -m worker --help`."""
    jobs = "\n".join(f"  {name:<18} {_first_line(name)}" for name in registry.names()) or "  (none in jobs/)"
    commands = "\n".join(f"  {name:<18} {purpose}" for name, purpose in COMMANDS.items())
    codes = "\n".join(
        f"  {code:<4} {', '.join(v.word for v in Verdict if v.exit_code == code)}"
        for code in sorted({v.exit_code for v in Verdict})
    )
    return f"""usage: {PROGRAM} <job> [--scope NAME=VALUE]… [options]
       {PROGRAM} <command> [options]

Run a batch job once: page through its records, work on each, say how it went, and exit with a code that tells the truth.

jobs:
{jobs}

commands:
{commands}

exit codes:
{codes}

Start here: {PROGRAM} poll-payments --local
More: {PROGRAM} <job> --help, {PROGRAM} <command> --help, docs/
"""


def command_parser(word: str) -> argparse.ArgumentParser:
    """Make the parser of a command."""
    purpose_of = COMMANDS.get(word, "one run, with every attempt and the records that failed")
    parser = Parser(prog=f"{PROGRAM} {word}", description=f"{purpose_of[0].upper()}{purpose_of[1:]}.")
    if word == "runs":
        parser.add_argument("job", nargs="?", help="only this job's runs")
        parser.add_argument("--limit", type=positive, default=20, metavar="N", help="how many at most (20)")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
    elif word == "runs show":
        parser.add_argument("run", help="its name: <job>:<run key>")
        parser.add_argument(
            "--json", action="store_true", help="one JSON object a line: the run, then its dead letters"
        )
    elif word == "replay":
        parser.add_argument("run", help="its name: <job>:<run key>")
        parser.add_argument("--error", metavar="TYPE", help="only records that failed with this type of error")
        parser.add_argument("--key", metavar="K", help="only the record with this key, as the messages show it")
        _add_max_affected(parser, "the job's max_affected")
        parser.add_argument(
            "--scope", action="append", default=[], metavar="NAME=VALUE", help="a secret field of its scope"
        )
    elif word == "prune":
        parser.add_argument("--keep", type=age, required=True, metavar="AGE", help="how long: 90d, 12h, 2w")
    elif word == "local":
        parser.add_argument("jobs", nargs="*", metavar="job", help="only what these jobs need (all that there is)")
        parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
        _add_local(parser)
        parser.set_defaults(**SERVERS)
    elif word == "launch":
        from worker.cli import launch

        launch.arguments(parser)
    elif word == "new":
        parser.add_argument("name", help="what it does to what: remind-customers")
    elif word == "doctor":
        from worker.cli.doctor import arguments

        arguments(parser)
    elif word == "serve":
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8080, help="port to listen on (8080; 0: any free one)")
        parser.add_argument(
            "--trust-proxy",
            type=network,
            action="append",
            default=[],
            metavar="CIDR",
            help="believe X-Forwarded-For of proxies there: 10.0.0.0/8; again for more (nobody)",
        )
        parser.add_argument("--most", type=positive, default=4, metavar="N", help="runs at the same time (4)")
        parser.add_argument(
            "--ecs", action="store_true", help="start runs as tasks in LAUNCH_CLUSTER, not as processes here"
        )
    elif word == "token":
        new = parser.add_subparsers(dest="action", required=True).add_parser(
            "new", help="make a token and show it once"
        )
        new.add_argument("--name", required=True, help="who will hold it, for the audit log")
        new.add_argument(
            "--may",
            action="append",
            required=True,
            metavar="RIGHT",
            help="read, start:<job>, stop:<job> or replay:<job>, with * for all jobs; again for more",
        )
        new.add_argument("--days", type=days, default=90, metavar="N", help="how long it is good for (90)")
    return parser


def job_parser(job: type[Job[Any]]) -> argparse.ArgumentParser:
    """Make the parser of a job, with its scope fields in the help."""
    fields = [
        f"  {name:<16} {kind}, {default}    (--scope {name}=… or {variable(name)}=…)"
        for name, kind, default in described(job.Scope)
    ]
    lines = [
        f"schedule: {job.schedule or 'none'}   timeout: {job.timeout}",
        f"limits: {bounds(job)}",
        "",
        "scope:",
        *(fields or ["  none"]),
    ]
    lines += [
        "",
        "environment: DATABASE_URL or RUN_TABLE" + "".join(f", {name}" for name in (*job.secrets, *job.environment)),
    ]
    parser = Parser(
        prog=f"{PROGRAM} {job.name}",
        description="\n".join([registry.purpose(job), "", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scope", action="append", default=[], metavar="NAME=VALUE", help="narrow the run; again for more fields"
    )
    parser.add_argument(
        "--run-key", metavar="KEY", help="name the run: the same key goes on with the same run (RUN_KEY)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="work on the records, change nothing, show what would be done"
    )
    parser.add_argument(
        "--max-records", type=positive, metavar="N", help="stop after N records; does not use up the run key"
    )
    if job.write is not None:
        _add_max_affected(parser, f"{job.max_affected:,}" if job.max_affected is not None else "any number")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the latest run that is not over, in its scope"
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="work on one of N parts of the run that --run-key names, from 1/N to N/N (SHARD)"
    )
    parser.add_argument(
        "--shards", type=positive, metavar="N", help="work on the run in N processes, which share limits and budgets"
    )
    parser.add_argument("--tell", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--wait", action="store_true", help="if the run is going on already, follow it to its end")
    parser.set_defaults(replay=None, max_affected=None)
    parser.add_argument("--restart", action="store_true", help="begin the run anew, whatever it has reached before")
    parser.add_argument(
        "--local", action="store_true", help="start what the environment does not name, on this machine, for this run"
    )
    local = _add_local(parser)
    local.add_argument(
        "--twice",
        action="store_true",
        help="with --local: then a second run of the same, which should find nothing to do",
    )
    return parser


def _add_max_affected(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--max-affected",
        type=positive,
        metavar="N",
        help=f"let the run change N records at most, this once ({default})",
    )


def _add_local(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("the local servers", _LOCAL)
    group.add_argument("--records", type=positive, metavar="N", help="seed this many records (5,000)")
    group.add_argument("--provider-rate", type=int, metavar="N", help="calls a second it allows (100; 0: no limit)")
    group.add_argument("--provider-delay", type=float, metavar="S", help="seconds before it answers (0.02)")
    group.add_argument("--provider-fail", type=float, metavar="SHARE", help="share of tries it fails (0.02)")
    group.add_argument("--seed", type=int, help="decides each payment's fate (7)")
    return group


def _first_line(name: str) -> str:
    try:
        return registry.purpose(registry.load(name))
    except Faults as faults:
        return f"BROKEN: {faults.faults[0]}"
