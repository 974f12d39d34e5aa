"""`runs` and `runs show`: how the latest runs went, and one of them with its attempts and its dead letters."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence

import msgspec

from worker import registry
from worker.cli.store import reading, unknown
from worker.report import words
from worker.runs import AttemptView, LetterView, RunView
from worker.tally import Tally

_LETTERS = 50
_LONGEST = 100
_LONGEST_MESSAGE = 400
"""The last column may be long: an answer's own reason comes after what was asked, and by whom."""


def show_runs(options: argparse.Namespace) -> int:
    """Print the latest runs as a table, or as JSON lines."""
    if options.job and options.job not in registry.names():
        registry.load(options.job)  # says what it might have been
    found = asyncio.run(_latest(options))
    if options.json:
        _print(*map(_json, found))
    elif found:
        head = ("RUN", "STATUS", "ATTEMPTS", "STARTED (UTC)", "TOOK", "READ", "DONE", "SKIPPED", "FAILED", "SCOPE")
        _table(head, map(_row, found))
    else:
        _print("no runs yet")
    return 0


def show_run(options: argparse.Namespace) -> int:
    """Print one run: how it stands, every attempt, and the records that failed."""
    run, letters = asyncio.run(_one(options.run))
    if options.json:
        _print(_json(run), *map(_json, letters))
        return 0
    tally = Tally.from_json(run.tally)
    _print(
        run.run_id,
        f"  status    {run.status}{f': {run.detail}' if run.detail else ''}",
        f"  scope     {words.scope(run.scope)}",
        f"  records   {words.counts(tally)}",
        f"  cursor    {'each shard has its own' if run.shards else 'at the start' if run.cursor is None else run.cursor}",
        "",
    )
    _table(
        ("ATTEMPT", "VERDICT", "STARTED (UTC)", "TOOK", "READ", "DONE", "FAILED", "WHERE"), map(_attempt, run.attempts)
    )
    if run.parts:
        _print("", f"{len(run.parts)} of {run.shards} shards have begun:")
        _table(("SHARD", "STATUS", "ATTEMPTS", "TOOK", "READ", "DONE", "SKIPPED", "FAILED"), map(_part, run.parts))
    if letters:
        _print("", f"dead letters{f' (the first {_LETTERS})' if len(letters) == _LETTERS else ''}:")
        _table(("KEY", "TYPE", "TRIES", "LAST (UTC)", "MESSAGE"), map(_letter, letters))
        _print("", f"again: python -m worker replay {run.run_id}")
    return 0


async def _latest(options: argparse.Namespace) -> list[RunView]:
    async with reading() as reader:
        return await reader.latest(options.job, options.limit)


async def _one(run_id: str) -> tuple[RunView, list[LetterView]]:
    async with reading() as reader:
        run = await reader.find(run_id)
        if run is None:
            raise await unknown(reader, run_id, " (yet: a task that was just started needs a minute or two)")
        return run, await reader.dead_letters(run_id, _LETTERS)


def _row(run: RunView) -> Sequence[str]:
    tally = Tally.from_json(run.tally)
    counts = (f"{count:,}" for count in (tally.read, tally.done, tally.skips, tally.failed))
    took = words.duration(run.duration_s) if run.duration_s is not None else ""
    status = f"{run.status} (dry run)" if run.dry_run else run.status
    return (
        run.run_id,
        status,
        str(run.attempt),
        f"{run.created_at:%Y-%m-%d %H:%M:%S}",
        took,
        *counts,
        words.scope(run.scope),
    )


def _part(part: RunView) -> Sequence[str]:
    tally = Tally.from_json(part.tally)
    number = part.run_id.rpartition("/")[2]
    status = _why(part.status, part.detail)
    took = words.duration(part.duration_s) if part.duration_s is not None else ""
    counts = (f"{count:,}" for count in (tally.read, tally.done, tally.skips, tally.failed))
    return (number, status, str(part.attempt), took, *counts)


def _attempt(attempt: AttemptView) -> Sequence[str]:
    tally = Tally.from_json(attempt.tally)
    took = words.duration((attempt.ended_at - attempt.started_at).total_seconds()) if attempt.ended_at else ""
    verdict = attempt.verdict or "running"
    return (
        f"{attempt.number}{' (replay)' if attempt.replay is not None else ''}",
        _why(verdict, attempt.detail),
        f"{attempt.started_at:%Y-%m-%d %H:%M:%S}",
        took,
        *(f"{count:,}" for count in (tally.read, tally.done, tally.failed)),
        attempt.task_arn or attempt.host,
    )


def _letter(letter: LetterView) -> Sequence[str]:
    key = ", ".join(map(str, letter.key))
    message = words.shortened(letter.message, _LONGEST_MESSAGE)
    return key, letter.type, str(letter.tries), f"{letter.last_at:%Y-%m-%d %H:%M:%S}", message


def _why(status: str, detail: str | None) -> str:
    return words.shortened(f"{status}{f': {detail}' if detail else ''}", _LONGEST)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    _print(*("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines))


def _json(view: object) -> str:
    return msgspec.json.encode(view).decode()


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
