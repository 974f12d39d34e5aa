"""The command line: what is asked for, and who does it."""

import os
import sys
from collections.abc import Sequence

from worker.cli.arguments import command_parser, overview
from worker.cli.commands import COMMANDS
from worker.errors import Faults, Transient
from worker.signals import Signals
from worker.verdict import Verdict


def main(argv: Sequence[str], signals: Signals) -> int:
    """Do what the arguments say and give the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0 if argv else Verdict.NOT_STARTED.exit_code
    word, rest = argv[0], argv[1:]
    try:
        if word in COMMANDS:
            return _command(word, rest, signals)
        from worker.cli.job import work

        return work(word, rest, signals)
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Faults as faults:
        from worker.cli.faults import tell

        return tell(faults)
    except Transient as error:
        from worker.cli.faults import away

        return away(error)


def _command(word: str, rest: Sequence[str], signals: Signals) -> int:
    if word == "runs" and rest[:1] == ["show"]:
        word, rest = "runs show", rest[1:]
    arguments = command_parser(word).parse_args(rest)
    if word == "list":
        from worker.cli.listing import show_jobs

        return show_jobs()
    if word.startswith("runs"):
        from worker.cli.runs import show_run, show_runs

        return show_runs(arguments) if word == "runs" else show_run(arguments)
    if word == "replay":
        from worker.cli.again import replayed
        from worker.cli.job import make

        return make(*replayed(arguments), signals)
    if word == "prune":
        from worker.cli.prune import prune_runs

        return prune_runs(arguments)
    if word == "migrate":
        from worker.cli.store import migrate_store

        return migrate_store()
    if word == "local":
        from worker.cli.stack import serve_stack

        return serve_stack(arguments)
    if word == "launch":
        from worker.cli.launch import launch_run

        return launch_run(arguments)
    if word == "new":
        from worker.cli.new import write_job

        return write_job(arguments)
    if word == "doctor":
        from worker.cli.doctor import examine_all

        return examine_all(arguments)
    if word == "token":
        from worker.cli.admin import make_token

        return make_token(arguments)
    from worker.cli.admin import serve

    return serve(arguments, signals)
