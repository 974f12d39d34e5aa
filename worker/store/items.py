"""The items of a run store in DynamoDB, and what each says: pure, no I/O.

======================  ==========================  ==================================================================
partition key `pk`      sort key `sk`               what it is
======================  ==========================  ==================================================================
`lease <name>`          `lease`                     who was last given the lease: run, attempt and fencing token
`<job>:<run key>`       `run`                       the run: checkpoint, counts, whether it is held, its current attempt
`<job>:<run key>`       `attempt 000001`            an attempt that is over, with its summary
`<job>:<run key>`       `letter <key> <digest>`     a dead letter
`<job>:<run key>/<n>`   `run`, `attempt …`          a shard: a run that is in no index, and keeps its dead letters with its run
`portions <limit>`      `portions`                  who holds how much of a rate limit that tasks share
`mark <key>`            `mark`                      what reporter or auditor said last of that, and when
======================  ==========================  ==================================================================

Indexes, of the items of runs alone: `runs-by-job` (`job`, `created_at`) and `runs-by-time` (`kind`, `created_at`); both hold only
what seldom changes, so that a commit or a heartbeat writes the table alone. `expires` is the TTL.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import msgspec

from worker.errors import Permanent
from worker.events import Summary
from worker.runs import KILLED
from worker.source import JsonKey
from worker.store.table import Item
from worker.verdict import Verdict

KEPT = timedelta(days=400)
"""So long is an item kept after it was last written, where nobody prunes."""
MOST_BYTES = 300_000
"""DynamoDB takes 400 KB an item: what is left is for everything beside open keys or summary."""
_FEW_GROUPS = 20
_SHORT, _DEFLATED = 512, b"x"
_LONGEST_PLACE = 900
"""Characters of a key in a sort key, which holds 1,024 bytes; the digest beside them tells longer ones apart."""


class Stamp(NamedTuple):
    """Names a page commit: the fencing token of the attempt that made it, and its number; of a shard's attempt, which that is."""

    token: int
    commit: int
    shard: int = 0

    def __str__(self) -> str:
        return f"{self.token}/{self.commit}" + (f"/{self.shard}" if self.shard else "")

    @classmethod
    def of(cls, text: str) -> "Stamp":
        """Read a stamp."""
        return cls(*map(int, text.split("/")))


class LeaseItem(msgspec.Struct, kw_only=True, frozen=True):
    """Who was last given a lease; whether it still holds it says its run."""

    run_id: str
    token: int
    by: str
    """Names the claim that took it, so that one whose answer was lost knows its own."""
    shared: bool = False
    """Whether the run's shards hold it together."""


class RunItem(msgspec.Struct, kw_only=True, frozen=True):
    """A run, and its current attempt: that moves into an item of its own once it is over."""

    pk: str
    job: str
    run_key: str
    lease: str
    created_at: str = ""
    """Empty for a shard, which keeps it out of the indexes."""
    scope: str = "{}"
    scope_hash: str
    mode: str
    status: str
    detail: str = ""
    ended_at: str | None = None
    revision: int = 0
    """Counts all writes: the sign of life of who holds it, and what every decision about the run is conditioned on."""
    # the checkpoint
    source: str | None = None
    cursor: str = "null"
    open_keys: bytes = b"[]"
    tally: str = "{}"
    forgiven: str = "{}"
    commits: int = 0
    ends: str = "{}"
    """The number of the last commit of each attempt before this one, by its token."""
    replays: int = 0
    worked_s: float = 0.0
    """How long the attempts before this one have worked."""
    # the lease: `token` fences, `held` says that it was not given back
    token: int = 0
    held: bool = False
    lease_s: float = 0.0
    heartbeat_at: str | None = None
    # the current attempt, or the last
    attempt: int = 0
    verdict: str | None = None
    started_at: str | None = None
    before: str = "{}"
    replay: int | None = None
    prior: str | None = None
    task_arn: str | None = None
    host: str = ""
    version: str = ""
    # of a shard: the run that it is part of, and its number, from 1
    parent: str | None = None
    shard: int = 0
    # of a run in shards: how many, the keys that divide it, which have not ended, which ended last and has not yet told so, of
    # which all records were worked on, and the sum of their tallies when it was last closed
    shards: int | None = None
    bounds: str = "[]"
    open_shards: str = "[]"
    untold: int | None = None
    worked: str = "[]"
    summed: str = "{}"

    @property
    def home(self) -> str:
        """Name the run that its dead letters are kept with."""
        return self.parent or self.pk

    def happened(self, stamp: Stamp) -> bool:
        """Tell whether this commit was made, or came to nothing: killed before, or fenced off."""
        token, commit, _ = stamp
        last = self.commits if token == self.token else msgspec.json.decode(self.ends).get(str(token), 0)
        return bool(commit <= last)

    def ends_so_far(self) -> str:
        """Give `ends` with the current attempt's in it, for the next one."""
        return encoded({**msgspec.json.decode(self.ends), str(self.token): self.commits} if self.token else {})

    def duration_s(self, until: datetime | None = None) -> float:
        """Give how long its attempts have worked, up to this time or the last sign of life of one that holds it."""
        if not self.held or self.started_at is None:
            return self.worked_s
        end = until or datetime.fromisoformat(self.heartbeat_at or self.started_at)
        return self.worked_s + max(0.0, (end - datetime.fromisoformat(self.started_at)).total_seconds())

    @property
    def killed(self) -> bool:
        """Tell whether its last attempt was, and so could not write its own item."""
        return not self.held and self.detail == KILLED and self.verdict == Verdict.INTERRUPTED.word


def run_of(item: Item | None) -> RunItem | None:
    """Read the item of a run."""
    return None if item is None else msgspec.convert(item, RunItem)


def attempt_item(run: RunItem) -> Item:
    """Give the item of a run's current attempt, as the run's item tells of it."""
    names = ("started_at", "task_arn", "host", "version", "before", "replay", "verdict", "ended_at", "detail")
    told = {name: getattr(run, name) for name in names}
    return {"pk": run.pk, "sk": f"attempt {run.attempt:06d}", "number": run.attempt, "expires": expiry(), **told}


def busy(lease: LeaseItem | None, holder: RunItem | None) -> bool:
    """Tell whether somebody has the lease, or is just about to: its token is not in its run yet."""
    if lease is None or holder is None:
        return False
    return holder.token < lease.token or (holder.token == lease.token and holder.held)


Attempted: TypeAlias = Mapping[int, RunItem]
"""A run, under 0, and those of its shards that matter, under their numbers: who may have written dead letters."""


def stands(letter: Item, attempted: Attempted) -> bool:
    """Tell whether a dead letter counts: the commit that it came with was made, and none that mended it."""
    mended = letter.get("mended")
    return _happened(letter["failed"], attempted) and not (mended and _happened(mended, attempted))


def _happened(stamp: str, attempted: Attempted) -> bool:
    of = Stamp.of(stamp)
    return of.shard in attempted and attempted[of.shard].happened(of)


def place(key: JsonKey) -> str:
    """Give a dead letter's sort key: in the order of the keys where they are texts or whole numbers from zero up."""
    shown = ", ".join(f"{part:020d}" if isinstance(part, int) else str(part) for part in key)
    return f"letter {_cut(shown)} {sha256(msgspec.json.encode(key)).hexdigest()[:16]}"


def packed(value: Any) -> bytes:
    """Give JSON in few bytes: deflated where it is long."""
    text = msgspec.json.encode(value)
    return text if len(text) <= _SHORT else zlib.compress(text)


def unpacked(kept: bytes) -> Any:
    """Read what `packed` gave: JSON never begins like deflated bytes do."""
    return msgspec.json.decode(zlib.decompress(kept) if kept[:1] == _DEFLATED else kept)


def checked(open_keys: Sequence[JsonKey]) -> bytes:
    """Give open keys packed. Raises Permanent where they are too many, or too long, for an item."""
    kept = packed(open_keys)
    if len(kept) > MOST_BYTES:
        raise Permanent(
            f"{len(open_keys):,} open keys take {len(kept):,} bytes, and the run store's item has room for {MOST_BYTES:,}: "
            "lower WORKER_CONCURRENCY and WORKER_PAGE_SIZE, and go on"
        )
    return kept


def told(summary: Summary) -> bytes:
    """Give a summary packed; where it has too many words, with the largest groups of failures alone."""
    kept = packed(summary)
    return kept if len(kept) <= MOST_BYTES else packed(replace(summary, errors=summary.errors[:_FEW_GROUPS]))


def encoded(value: Any) -> str:
    """Give JSON text."""
    return msgspec.json.encode(value).decode()


def now() -> str:
    """Give this host's time, for people: what hangs on time is measured by watching."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def expiry() -> int:
    """Give when what is written now is forgotten."""
    return int((datetime.now(UTC) + KEPT).timestamp())


def _cut(text: str) -> str:
    return text.encode()[:_LONGEST_PLACE].decode(errors="ignore")
