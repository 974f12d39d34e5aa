"""Runs in one DynamoDB table, for jobs that have no PostgreSQL: who holds a run, how far it is, and the commit that moves it on.

What items there are is said in items.py. There are no transactions in here: every step is one conditional write, and what a step
left undone, because its process was killed, is seen for what it is by whoever comes next.

A page commit is one update of the run's item: cursor, open keys, tally and commit number, on the condition that the fencing token
and the commit number are still what they were. Dead letters are written before, stamped with that commit (letters.py). The job's
`write` comes before them: it goes elsewhere, so effects are at-least-once.

To take a lease is two writes: the lease's item names run and token, then the run's item takes up the token. Between them the lease
counts as held. To give it back is one: the run's item is not held any more.

DynamoDB has no clock that could be asked. Whether a holder lives is found out by watching whether its item's revision moves on for
one lease time, by the watcher's own clock; times of different hosts are never compared to decide who may work.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec

from worker.claim import Answer, Claim, Granted, Held, Over, Selection, divided_otherwise, nothing_to_replay
from worker.errors import Faults, LeaseLost, Transient
from worker.events import History, Summary
from worker.ledger import Batch, Committed, Writing
from worker.runs import PENDING, RUNNING
from worker.source import Bounds, JsonKey
from worker.store import items, steps
from worker.store.items import Attempted, LeaseItem, RunItem, Stamp, busy, run_of
from worker.store.letters import Letters
from worker.store.table import Item, Table, keys
from worker.store.table_making import faults_of
from worker.store.table_shards import TableShards
from worker.verdict import Verdict

_OVER = {verdict.word for verdict in Verdict if verdict.finished}


class DynamoStore:
    """The run store as one attempt uses it; see PostgresStore, whose every answer it gives."""

    transactional = False

    def __init__(self, table: Table, lease_s: float = 15.0) -> None:
        self._table, self._letters, self._shards = table, Letters(table), TableShards(table)
        self._attempted: Attempted = {}
        self._whole_token = 0
        self.lease_s = lease_s
        self._run: RunItem
        self._token = 0
        self._commits = self._begun = 0
        self._selected = Selection()
        self._uncertain = False  # a commit was begun and no answer came
        self._claiming = secrets.token_hex(8)
        self._followed: tuple[int, float] | None = None

    async def check(self) -> list[str]:
        """Find what keeps the table from being used: it is not there, is another kind of table, or rights are missing."""
        return await faults_of(self._table)

    async def newer(self) -> str | None:
        """Say nothing: items have kept their form so far."""
        return None

    # --- the lease ------------------------------------------------------------------------------------------------------

    async def claim(self, claim: Claim, successor_of: Held | None = None) -> Answer:
        """Take the lease and begin an attempt, or say why not; see `Store`.

        Raises Faults for a run key that was used with another scope, or in another mode. May be called again after `Transient`:
        what an earlier try has taken is recognised.
        """
        answer: Answer | None = None
        while answer is None:  # somebody else was faster: look again
            answer = await self._claim(claim, successor_of)
        self._claiming = secrets.token_hex(8)
        return answer

    async def _claim(self, claim: Claim, successor_of: Held | None) -> Answer | None:
        whole = await self._own_run(claim)
        run = whole if claim.shard is None else await self._own_shard(claim)
        for each in (whole, run):
            if each.status in _OVER and not claim.restart and claim.replay is None:
                return Over(Verdict.of(each.status), datetime.fromisoformat(each.ended_at) if each.ended_at else None)
        if claim.replay is not None:
            await self._check_selection(run, claim.replay)
        if claim.shard is None:
            lease = await self._get_lease(claim.lease, run, successor_of)
            return await self._begin(claim, run, lease.token) if isinstance(lease, LeaseItem) else lease
        return await self._claim_shard(claim, whole, run, successor_of)

    async def _claim_shard(
        self, claim: Claim, whole: RunItem, run: RunItem, successor_of: Held | None
    ) -> Answer | None:
        """Join the run with the others of its shards, then take the shard; give it back where the run was deposed in between."""
        ours = await self._get_lease(claim.lease, whole, successor_of, shared=True)
        if not isinstance(ours, LeaseItem):
            return ours
        lease = await self._get_lease(run.pk, run, successor_of)
        if not isinstance(lease, LeaseItem) or not await self._shards.join(claim, whole, ours, self.lease_s):
            return lease if isinstance(lease, Held) else None
        answer = await self._begin(claim, run, lease.token)
        if answer is None or await self._shards.beat(whole.pk, ours.token):
            self._whole_token = ours.token
            return answer and replace(answer, bounds=msgspec.json.decode(whole.bounds))
        await self._table.update(run.pk, "run", steps.deposed(self._run, self._token), self._ours)
        return None

    async def _get_lease(
        self, name: str, run: RunItem, successor_of: Held | None, *, shared: bool = False
    ) -> LeaseItem | Held | None:
        """Take a lease for a run, or find who has it; None to look again. A shared one is ours while another shard holds it."""
        lease = await self._lease(name)
        holder = run if lease is None or lease.run_id == run.pk else await self._find(lease.run_id)
        if lease is None or not busy(lease, holder):
            return await self._take(name, lease, run, shared)
        if lease.by == self._claiming or holder is None or (lease.shared and shared and holder.pk == run.pk):
            return lease
        return await self._succeed(lease, holder, successor_of)

    async def _succeed(self, lease: LeaseItem, holder: RunItem, successor_of: Held | None) -> Held | None:
        """Say who holds the lease; or fence it off, where it was watched and has not moved since."""
        number = holder.attempt if holder.held else holder.attempt + 1
        held = Held(holder.pk, number, (lease.token, None, holder.revision))
        if successor_of is None or successor_of.sign != held.sign:
            return held
        changes = steps.deposed(holder, lease.token)
        if await self._table.update(holder.pk, "run", changes, {"revision": holder.revision}) and lease.shared:
            await self._shards.depose(holder.pk, range(1, (holder.shards or 0) + 1))
        return None

    async def _take(self, name: str, lease: LeaseItem | None, run: RunItem, shared: bool) -> LeaseItem | None:
        """Put our name into the lease's item; None where somebody else did it first."""
        token = max(run.token, lease.token if lease else 0) + 1
        taken = LeaseItem(run_id=run.pk, token=token, by=self._claiming, shared=shared)
        pk = f"lease {name}"
        item = {"pk": pk, "sk": "lease", "expires": items.expiry(), **msgspec.to_builtins(taken)}
        expect = {"by": lease.by} if lease else {"pk": None}
        return taken if await self._table.put(item, expect) else None

    async def _begin(self, claim: Claim, run: RunItem, token: int) -> Granted | None:
        """Take up the token in the run's item, and with it begin the attempt; None where the run was written meanwhile."""
        if not (run.held and run.token == token):  # else an earlier try has done it, and its answer was lost
            if run.killed:
                await self._table.put(items.attempt_item(run))
            if not await self._table.update(
                run.pk, "run", steps.begun(run, claim, token, self.lease_s), {"revision": run.revision}
            ):
                return None
            run = await self._find(run.pk) or run
        self._run, self._token, self._selected = run, token, claim.replay or Selection()
        self._attempted = await self._letters.attempted(run)
        self._commits = self._begun = run.commits
        self._uncertain = False
        return steps.granted(run)

    async def _own_run(self, claim: Claim) -> RunItem:
        """Find or make the item of the claimed run, of a shard that of its run."""
        run = await self._found_or_made(claim.whole_id, steps.new(claim))
        if run.scope_hash != claim.scope_hash:
            raise Faults(
                [f"run key {claim.run_key!r} was used with another scope: {run.scope}; use another key, or that scope"]
            )
        if run.mode != claim.mode:
            raise Faults([f"run key {claim.run_key!r} belongs to a {run.mode}: say so again, or use another key"])
        if run.shards != (claim.shard and claim.shard.of) and claim.replay is None:
            raise divided_otherwise(claim.run_key, run.shards)
        return run

    async def _own_shard(self, claim: Claim) -> RunItem:
        """Find or make the item of the claimed shard."""
        return await self._found_or_made(claim.run_id, steps.new_shard(claim))

    async def _found_or_made(self, run_id: str, item: Item) -> RunItem:
        run = await self._find(run_id)
        if run is None:
            await self._table.put(item, {"pk": None})
            run = await self._find(run_id)
        if run is None:
            raise Transient(f"{run_id} is being pruned")
        return run

    async def _check_selection(self, run: RunItem, selected: Selection) -> None:
        """Refuse a replay of nothing: it would say that it had succeeded."""
        async for _ in self._letters.standing(run, await self._letters.attempted(run), selected):
            return
        raise Faults([nothing_to_replay(run.pk, selected)])

    async def follow(self, run_id: str) -> Verdict | None:
        """Give the verdict with which a run came to rest; None while somebody holds it, INTERRUPTED when its holder fell silent."""
        before, self._followed = self._followed, None
        run = await self._find(run_id)
        if run is None or not busy(await self._lease(run.lease), run):
            rests = run is not None and run.status not in (RUNNING, PENDING)
            return Verdict.of(run.status) if run is not None and rests else Verdict.INTERRUPTED
        if before is None or before[0] != run.revision:
            self._followed = run.revision, monotonic()
            return None
        self._followed = before
        return Verdict.INTERRUPTED if monotonic() - before[1] > self.lease_s else None

    async def stand_aside(self, claim: Claim, verdict: Verdict, detail: str) -> None:
        """Record that a run was not begun because another one is going on."""
        changes = {"status": verdict.word, "detail": detail, "ended_at": items.now()}
        for run_id in dict.fromkeys((claim.run_id, claim.whole_id)):
            await self._table.update(run_id, "run", changes, {"attempt": 0})

    # --- the work -------------------------------------------------------------------------------------------------------

    async def heartbeat(self) -> None:
        """Renew the lease. Raises LeaseLost when it was taken."""
        if not await self._table.update(self._run.pk, "run", {"heartbeat_at": items.now()}, self._ours):
            raise LeaseLost(f"a newer attempt holds run {self._run.pk}")
        if self._run.parent and not await self._shards.beat(self._run.parent, self._whole_token):
            raise LeaseLost(f"another run has taken over from {self._run.parent}")

    async def commit(self, batch: Batch, source: str, writing: Writing) -> Committed:
        """Commit a page: the job's results, elsewhere; the dead letters, stamped; and with one write all that makes them count.

        May be called again with the same batch after `Transient`: a commit whose answer was lost is recognised by its number.
        Raises LeaseLost when a newer attempt holds the run.
        """
        committed = await self._recognise(batch) if self._uncertain else None
        if committed is None:
            wrote = await writing(batch.results, None, False)
            stamp = Stamp(self._token, self._commits + 1, self._run.shard)
            self._begun = stamp.commit
            await self._letters.keep(self._as_of_now, self._all_of_now, [*batch.dead_letters, *wrote.refused], stamp)
            await self._letters.mend(self._as_of_now, batch.mended, stamp)
            committed = Committed(stamp.commit, wrote.changed, tuple(wrote.refused))
            changes = steps.checkpoint(self._run, batch, source, committed)
            self._uncertain = True
            if not await self._table.update(self._run.pk, "run", changes, {**self._ours, "commits": self._commits}):
                committed = await self._recognise(batch)
        if committed is None:
            raise Transient(f"{self._run.pk} was written by nobody we know")
        self._uncertain = False
        self._commits = committed.number
        return committed

    async def _recognise(self, batch: Batch) -> Committed | None:
        """Tell whether the commit whose answer was lost got through, from its number; what it left out, from its tally."""
        run = await self._find(self._run.pk)
        if run is None or not run.held or run.token != self._token:
            raise LeaseLost(f"a newer attempt holds run {self._run.pk}; this page is not committed")
        if run.commits != self._commits + 1:
            return None
        return steps.recognised(run, steps.total(self._run, batch.tally))

    async def letters(self, after: JsonKey | None, size: int) -> Sequence[JsonKey]:
        """Give the keys of the next dead letters that the replay has selected."""
        found: list[JsonKey] = []
        async for item in self._letters.standing(self._as_of_now, self._all_of_now, self._selected, after):
            found.append(msgspec.json.decode(item["key"]))
            if len(found) == size:
                break
        return found

    async def mend(self, keys: Sequence[JsonKey]) -> None:
        """Forget dead letters whose records are gone, with the commit that counts them; without the lease there is none."""
        await self._letters.mend(self._as_of_now, keys, Stamp(self._token, self._begun + 1, self._run.shard))

    async def end(self, summary: Summary) -> Summary | None:
        """Close the attempt and give the lease back; a run that was taken over meanwhile is left alone; see `PostgresStore`."""
        attempt, rest = steps.ended(self._run, summary)
        await self._table.put(attempt)
        await self._table.update(self._run.pk, "run", rest, self._ours)
        if self._run.parent is None:
            return None
        now = await self._find(self._run.pk)
        over = now is not None and now.attempt == self._run.attempt and not now.held
        return await self._shards.leave(self._run.parent, self._run.shard) if over else None

    # --- shards ---------------------------------------------------------------------------------------------------------

    async def bounds(self, claim: Claim) -> Bounds | None:
        """Give where a run in shards is divided; None where nobody has claimed one of them yet."""
        whole = await self._find(claim.whole_id)
        return None if whole is None or whole.shards is None else msgspec.json.decode(whole.bounds)

    async def worked(self, connection: Any) -> bool:
        """Note, before the last page commit, that all records were worked on; tell whether that is so of the whole run."""
        return self._run.parent is None or await self._shards.all_worked(self._run.parent, self._run.shard)

    async def told(self, run_id: str) -> None:
        """Note that the whole run's summary is out."""
        await self._shards.told(run_id)

    async def bury(self, run_id: str, shard: int, task_arn: str | None = None) -> Summary | None:
        """Take a shard for ended whose process is dead; give the whole run's summary where it is to be told; see `Store`."""
        return await self._shards.bury(run_id, shard, task_arn)

    async def history(self, claim: Claim) -> History | None:
        """Give the median of the last ten runs of the job that succeeded with this scope; of its latest 1 MB of runs."""
        alike = {"mode": claim.mode, "scope_hash": claim.scope_hash, "status": Verdict.SUCCEEDED.word}
        async for page in self._table.query(("job", claim.job), index="runs-by-job", descending=True):
            mine = [run for run in page if alike.items() <= run.items() and run["pk"] != claim.whole_id]
            runs = [run_of(run) for run in (await self._table.find(keys(mine[:10]))).values()]
            return steps.median_of([run for run in runs if run is not None])
        return None

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether `write` may have failed because of one result in it."""
        return not isinstance(error, (LeaseLost, Transient))

    # --- what is known --------------------------------------------------------------------------------------------------

    @property
    def _ours(self) -> dict[str, Any]:
        """Say how the run's item must be for us to write it."""
        return {"token": self._token, "held": True}

    @property
    def _as_of_now(self) -> RunItem:
        """Give the run with the commits that we have made."""
        return msgspec.structs.replace(self._run, commits=self._commits)

    @property
    def _all_of_now(self) -> Attempted:
        """Give the same with whoever else may have written dead letters of it."""
        return {**self._attempted, self._run.shard: self._as_of_now}

    async def _find(self, run_id: str) -> RunItem | None:
        return run_of(await self._table.get(run_id, "run"))

    async def _lease(self, name: str) -> LeaseItem | None:
        item = await self._table.get(f"lease {name}", "lease")
        return None if item is None else msgspec.convert(item, LeaseItem)
