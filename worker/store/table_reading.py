"""What doors and reports ask of a run store in DynamoDB: a run with its attempts, the holder of a lease, the latest runs.

Lists come by the indexes, which follow the table within a moment; what is shown of each run is then read from the table itself.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from worker.claim import Selection
from worker.runs import PENDING, RUNNING, WHOLE, AttemptView, LetterView, Place, RunPage, RunView, own_tallies
from worker.shards import total
from worker.store.items import KILLED, LeaseItem, RunItem, attempt_item, busy, run_of, unpacked
from worker.store.letters import Letters
from worker.store.steps import tally_of
from worker.store.table import Item, Table, keys
from worker.store.table_shards import TableShards
from worker.verdict import Verdict

_APART = timedelta(minutes=1)
"""So much may the clocks of two hosts differ: for what is shown. Who may work is never decided by clocks."""

_MOST_LOOKED_AT = 100


class TableReader:
    """Answer questions about runs; it changes nothing."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, run_id: str) -> RunView | None:
        """Give a run with all its attempts; None where there is none of that name."""
        run = run_of(await self._table.get(run_id, "run"))
        if run is None:
            return None
        pages = self._table.query(("pk", run_id), sk=("attempt ", "attempt ~"))
        return _view(run, [item async for page in pages for item in page], await self._parts(run))

    async def _parts(self, run: RunItem) -> Sequence[RunItem]:
        return tuple((await TableShards(self._table).parts(run)).values()) if run.shards else ()

    async def scope_hash(self, run_id: str) -> str | None:
        """Give what tells a run's scope from another, secret fields included: nothing to be shown."""
        run = run_of(await self._table.get(run_id, "run"))
        return None if run is None else run.scope_hash

    async def holder(self, lease: str) -> RunView | None:
        """Give the run that holds this lease now: what `lease_of` names."""
        item = await self._table.get(f"lease {lease}", "lease")
        held = None if item is None else msgspec.convert(item, LeaseItem)
        run = None if held is None else run_of(await self._table.get(held.run_id, "run"))
        if run is None or not busy(held, run):
            return None
        view = _view(run)
        return view if view.live else None

    async def latest(self, job: str | None, limit: int) -> list[RunView]:
        """Give the latest runs, of one job or of all, newest first."""
        return (await self.page(job, None, None, limit)).runs

    async def page(self, job: str | None, status: str | None, before: Place | None, limit: int) -> RunPage:
        """Give the next runs before a place (None: the latest), of one job or of all, in one status or in any.

        No index has the status: of some hundred runs that are looked at, those in it are given.
        """
        equal, index = (("job", job), "runs-by-job") if job else (("kind", "run"), "runs-by-time")
        start = None if before is None else {equal[0]: equal[1], **_place(before)}
        most = limit if status is None else max(limit, _MOST_LOOKED_AT)
        items: list[Item] = []
        async for page in self._table.query(equal, index=index, descending=True, start=start, most=most):
            items += page
            if len(items) >= most:
                break
        runs = await self._views(keys(items[:most]))
        chosen = [run for run in runs if status in (None, run.status)]
        last = chosen[limit - 1] if len(chosen) >= limit else runs[-1] if runs and len(items) >= most else None
        return RunPage(chosen[:limit], Place(last.created_at, last.run_id) if last else None)

    async def latest_unfinished(self, job: str) -> RunView | None:
        """Give the job's latest run that was begun and has not succeeded; whether somebody works on it shows when it is claimed."""
        async for page in self._table.query(("job", job), index="runs-by-job", descending=True):
            for item in page:
                if item["mode"] == "run" and item["attempt"] and item["status"] != Verdict.SUCCEEDED.word:
                    return next(iter(await self._views(keys([item]))), None)
        return None

    async def by_task(self, job: str, task_arn: str) -> RunView | None:
        """Give the job's run whose last attempt is that task's, with all its attempts; among the latest hundred."""
        async for page in self._table.query(("job", job), index="runs-by-job", descending=True):
            items = await self._table.find(keys(page[:_MOST_LOOKED_AT]))
            mine = [item["pk"] for item in items.values() if item.get("task_arn") == task_arn]
            return await self.find(mine[0]) if mine else None
        return None

    async def succeeded(self, job: str, since: datetime) -> RunView | None:
        """Give the run of the whole job that succeeded last, of those that were begun since then."""
        alike = {"mode": "run", "scope_hash": WHOLE, "status": Verdict.SUCCEEDED.word}
        bounds = (since.astimezone(UTC).isoformat(timespec="microseconds"), "9")
        found: list[tuple[str, str]] = []
        async for page in self._table.query(("job", job), index="runs-by-job", created_at=bounds):
            found += keys(item for item in page if alike.items() <= item.items())
        runs = await self._views(found[-_MOST_LOOKED_AT:])
        return max(runs, key=lambda run: run.ended_at or run.created_at, default=None)

    async def dead_letters(self, run_id: str, limit: int, after: list[Any] | None = None) -> list[LetterView]:
        """Give a run's failed records in the order of their keys, those behind a key."""
        found: list[LetterView] = []
        run = run_of(await self._table.get(run_id, "run"))
        if run is not None:
            letters = Letters(self._table)
            async for item in letters.standing(run, await letters.attempted(run), Selection(), after):
                found.append(_letter(item))
                if len(found) >= limit:
                    break
        return found

    async def _views(self, found: list[tuple[str, str]]) -> list[RunView]:
        """Read runs in this order, each with the summary of its last attempt."""
        items = await self._table.find(found)
        runs = [run for key in found if (run := run_of(items.get(key))) is not None]
        last = [(run.pk, str(attempt_item(run)["sk"])) for run in runs]
        attempts = await self._table.find(last)
        return [
            _view(run, [attempts[key]] if key in attempts else [], await self._parts(run), whole=False)
            for run, key in zip(runs, last, strict=True)
        ]


def _view(
    run: RunItem, archived: list[Item] | None = None, parts: Sequence[RunItem] = (), *, whole: bool = True
) -> RunView:
    """Give a run; one that its holder was not heard of for long is shown as interrupted."""
    archived = archived or []
    silent = run.held and _time(run.heartbeat_at) + timedelta(seconds=run.lease_s) + _APART < datetime.now(UTC)
    status, detail = (Verdict.INTERRUPTED.word, KILLED) if silent else (run.status, run.detail)
    summed, gained = tally_of(run.summed), (tally_of(part.tally) for part in parts)
    tally = total(tally_of(run.tally), summed, gained).to_json()
    last = next((item for item in archived if item["number"] == run.attempt), {})
    return RunView(
        run_id=run.pk,
        job=run.job,
        run_key=run.run_key,
        scope=msgspec.json.decode(run.scope),
        dry_run=run.mode == "dry-run",
        status=status,
        attempt=run.attempt,
        tally=tally,
        cursor=msgspec.json.decode(run.cursor),
        source=run.source,
        created_at=_time(run.created_at or run.started_at),
        heartbeat_at=_time(run.heartbeat_at) if run.heartbeat_at else None,
        ended_at=_time(run.ended_at) if run.ended_at else None,
        exit_code=None if status in (PENDING, RUNNING) else Verdict.of(status).exit_code,
        detail=detail,
        summary=unpacked(last["summary"]) if "summary" in last and status != RUNNING else None,
        duration_s=run.duration_s(None if silent else datetime.now(UTC)) if run.attempt else None,
        attempts=_attempts(run, archived, tally) if whole else (),
        shards=run.shards,
        parts=tuple(map(_view, parts)) if whole else (),
    )


def _attempts(run: RunItem, archived: list[Item], run_tally: Mapping[str, Any]) -> tuple[AttemptView, ...]:
    """Give the attempts: those with items of their own, and the last, of which the run's item tells until it is over."""
    if run.attempt and run.attempt not in {item["number"] for item in archived}:
        archived = [*archived, {name: value for name, value in attempt_item(run).items() if value is not None}]
    said = [(msgspec.json.decode(item["before"]), msgspec.json.decode(item.get("tally", "{}"))) for item in archived]
    tallies = own_tallies(said, run_tally)
    return tuple(_attempt(item, tally) for item, tally in zip(archived, tallies, strict=True))


def _attempt(item: Item, tally: Mapping[str, Any]) -> AttemptView:
    names = ("number", "started_at", "ended_at", "verdict", "exit_code", "detail", "task_arn", "host", "replay")
    return msgspec.convert({**{name: item[name] for name in names if name in item}, "tally": tally}, AttemptView)


def _place(before: Place) -> Item:
    """Give a place as the indexes have it."""
    created_at = before.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    return {"created_at": created_at, "pk": before.run_id, "sk": "run"}


def _letter(item: Item) -> LetterView:
    told = {name: item.get(name, "") for name in ("type", "message", "tries", "first_at", "last_at")}
    return msgspec.convert({**told, "key": msgspec.json.decode(item["key"])}, LetterView)


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.max.replace(tzinfo=UTC) - 2 * _APART
