"""A rate limit that many tasks share: who has which portion of it, as pure arithmetic over one small ledger.

What makes it strict is that a portion travels with what was taken on it. Who goes down from 100 to 60 a window hands over, with the
40, its share of what it took in the last window, each with its age; who is given the 40 counts that as taken by himself. So the
portions never add up to more than the limit, what was taken to no more than the portions, and no permit is lost on the way
(docs/adr/0011-shared-rates.md). Times are the run store's own; of a host's clock only ages are told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from worker.errors import Permanent, Transient
from worker.pacing import Taken

LEASES = 4
"""A portion is leased for so many times a run's lease: a database's failover is to cost no call …"""
LEASE_S = LEASES * 15.0
"""… who was not heard of for so long uses its portion no more, and others get it …"""
CLOCKS_S = 2.0
"""… so much earlier it stops by its own clock."""
WINDOWS = 1.015
"""So much longer than promised are windows kept (worker/rate.py)."""
ON_THE_WAY_S = 0.25
"""A call may arrive so much later after its permit than another task's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a task says of itself."""

    holder: str
    number: int
    """Asks are numbered: one that comes late is settled no more."""
    count: int
    per: float
    """The limit as its job declares it."""
    portion: int
    """What it uses from now on, unless the answer gives more: less than it had, where it gives back."""
    wants: int
    """What it could use, a window."""
    given: tuple[Taken, ...] = ()
    """Of what it gives back: the age in seconds, and number, of the permits taken."""
    heard: int = 0
    """The number of the last ask whose answer it heard."""
    lease_s: float = LEASE_S
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a task may use, from the moment of its asking on, for `lease_s - CLOCKS_S`."""

    portion: int
    fair: int
    """What it is to have: less than the portion, where it is to give back; more, where others are about to."""
    taken: tuple[Taken, ...]
    """What was taken, by others, of what came to the portion: ages and numbers."""
    lowest: float
    highest: float
    """The limits that the tasks at work declare, in calls a second; the lowest holds."""


class Portions(Protocol):
    """The ledgers in the run store, one a limit."""

    async def settle(self, name: str, ask: Ask) -> Grant:
        """Settle what a task asks; raises Permanent where the others count in other windows, Transient for an ask that is late."""
        ...


class Holder(msgspec.Struct, kw_only=True):
    """A task in the ledger; what came to it by its last ask is remembered, for the answer may be lost."""

    portion: int
    count: int
    wants: int
    until: float
    number: int = 0
    came: list[Taken] = []


class Ledger(msgspec.Struct, kw_only=True):
    """Who holds what of a limit: what nobody holds is free, and `taken` is what was taken of that."""

    per: float = 0.0
    holders: dict[str, Holder] = {}
    taken: list[Taken] = []

    @property
    def held(self) -> int:
        """Give what the portions add up to."""
        return sum(holder.portion for holder in self.holders.values())

    @property
    def limit(self) -> int:
        """Give the lowest limit that is declared."""
        return min(holder.count for holder in self.holders.values())


def settle(ledger: Ledger, ask: Ask, now: float, latest: float | None = None) -> tuple[Ledger, Grant]:
    """Settle what a task asks; the run store's clock is between `now` and `latest`."""
    latest = now if latest is None else latest
    kept = _lapsed(ledger, now)
    per = kept.per if kept.holders or kept.taken else ask.per
    if ask.per != per:
        told = f"{ask.count} in {ask.per:g} s cannot be shared with tasks at work that count in windows of {per:g} s"
        raise Permanent(f"{told}: declare the same limit in all jobs that share it", "RateNotShared")
    mine = kept.holders.get(ask.holder) or Holder(portion=0, count=ask.count, wants=0, until=0.0)
    if ask.number <= mine.number:
        raise Transient(f"ask {ask.number} of {ask.holder} came after its ask {mine.number}")
    portion = 0 if ask.leaving else min(mine.portion, ask.portion)
    back = [(latest - age + ON_THE_WAY_S, permits) for age, permits in ask.given] if portion < mine.portion else []
    unheard = mine.came if mine.number != ask.heard else []
    taken = sorted(kept.taken + back + unheard)
    others = {name: holder for name, holder in kept.holders.items() if name != ask.holder}
    if ask.leaving:
        grant = Grant(portion=0, fair=0, taken=(), lowest=0.0, highest=0.0)
        return Ledger(per=per, holders=others, taken=taken), grant
    me = Holder(portion=portion, count=ask.count, wants=ask.wants, until=latest + ask.lease_s, number=ask.number)
    settled = Ledger(per=per, holders={**others, ask.holder: me}, taken=taken)
    fair = _grow(settled, me, ask.holder)
    ages = tuple((now - stamp, permits) for stamp, permits in me.came)
    declared = [holder.count / per for holder in settled.holders.values()]
    grant = Grant(portion=me.portion, fair=fair, taken=ages, lowest=min(declared), highest=max(declared))
    return settled, grant


def fill(limit: int, wants: Mapping[str, int]) -> dict[str, int]:
    """Share a limit out by demand: nobody gets less than another who wants more, and what nobody wants goes to all."""
    parts: dict[str, int] = {}
    left = limit
    for place, (name, want) in enumerate(sorted(wants.items(), key=lambda item: (item[1], item[0]))):
        parts[name] = min(want, left // (len(wants) - place))
        left -= parts[name]
    for place, name in enumerate(sorted(wants)):
        more = left // (len(wants) - place)
        parts[name] += more
        left -= more
    return parts


def _lapsed(ledger: Ledger, now: float) -> Ledger:
    """Take what its holder was not heard of for; all of it may have been used up to the end of its lease."""
    gone = {name: holder for name, holder in ledger.holders.items() if holder.until <= now}
    alive = {name: holder for name, holder in ledger.holders.items() if name not in gone}
    ended = [(holder.until + ON_THE_WAY_S, float(holder.portion)) for holder in gone.values() if holder.portion]
    over = now - ledger.per * WINDOWS
    return Ledger(per=ledger.per, holders=alive, taken=[each for each in ledger.taken + ended if each[0] > over])


def _grow(ledger: Ledger, me: Holder, name: str) -> int:
    """Give a task what it lacks, as far as it is free, and what was taken of that; tell what it is to have."""
    fair = fill(ledger.limit, {each: holder.wants for each, holder in ledger.holders.items()})
    free, used = ledger.limit - ledger.held, sum(permits for _, permits in ledger.taken)
    if fair[name] > me.portion and used <= free:
        more = min(fair[name] - me.portion, free)
        me.portion += more
        me.came = _moved(ledger.taken, used - (free - more))
        return fair[name]
    lacking = sum(max(0, fair[each] - holder.portion) for each, holder in ledger.holders.items()) - max(0, free)
    too_much = max(0, -free)
    return me.portion - max(0, min(me.portion - fair[name], max(lacking, too_much)))


def _moved(taken: list[Taken], permits: float) -> list[Taken]:
    """Take so many permits, the oldest ones, out of what was taken."""
    moved: list[Taken] = []
    while permits > 0 and taken:
        stamp, many = taken.pop(0)
        part = min(many, permits)
        moved.append((stamp, part))
        if many > part:
            taken.insert(0, (stamp, many - part))
        permits -= part
    return moved


def coarse(ages: Iterable[Taken], grain: float) -> list[Taken]:
    """Make few of many: what was taken within a grain counts as taken at the latest of these times."""
    slices: list[Taken] = []
    for age, permits in sorted(ages):
        if slices and age - slices[-1][0] < grain:
            slices[-1] = (slices[-1][0], slices[-1][1] + permits)
        else:
            slices.append((age, permits))
    return slices
