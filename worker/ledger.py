"""What became of the records: counts, error groups, and the results that wait for their page commit."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from worker.budget import ErrorBudget, Spending
from worker.errors import words
from worker.events import ErrorGroup
from worker.fingerprint import fingerprint
from worker.job import Result
from worker.mask import Mask
from worker.origin import in_job, is_bug, place, stack
from worker.outcome import Done, Failed, Skipped
from worker.source import Failure, JsonKey, Key, Record
from worker.tally import Tally

CHANGED = "changed meanwhile"
"""Why a result was not written: somebody else changed the row since it was read."""

_MOST_GROUPS = 200
_OTHERS = "other errors"
_LONGEST_MESSAGE = 2_000
_LONGEST_REASON = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed record: kept with the run, to be replayed."""

    key: JsonKey
    type: str
    message: str
    tries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """What one page commit records: results, dead letters, and the checkpoint that they belong to."""

    results: list[Result]
    dead_letters: list[DeadLetter]
    cursor: JsonKey | None
    open_keys: list[JsonKey]
    tally: Tally
    """The attempt's, as if every result were written."""
    mended: Sequence[JsonKey] = ()
    """Of a replay: the dead letters that are none any more."""
    finished: Sequence[Record] = ()
    """Of a source that is to be told: the records that were done or skipped."""
    failed: Sequence[Failure] = ()
    """Of a source that is to be told: the records that failed, and how."""
    last: bool = False
    """Whether all records of the source have their outcome with it, and none of the run is failed."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a page commit did: its number, results left out because the row had changed, and results that were refused."""

    number: int
    changed: int = 0
    refused: Sequence[DeadLetter] = ()
    lost_refusals: int = 0
    """Refused results that are known by number alone: the answer to their commit was lost, their letters are in the store."""

    @property
    def refusals(self) -> int:
        """Count the results that were refused."""
        return len(self.refused) + self.lost_refusals


@dataclass(slots=True)
class Wrote:
    """What the job's `write` did with a page's results."""

    changed: int = 0
    refused: list[DeadLetter] = field(default_factory=list)


Writing = Callable[[Sequence[Result], Any, bool], Awaitable[Wrote]]
"""Writes results through a connection; the last argument asks to find the ones that cannot be written."""


def corrected(tally: Tally, committed: Committed) -> Tally:
    """Give a tally that counted every result as done, less what the commit left out."""
    true = tally.copy()
    if committed.changed:
        true.skip(CHANGED, committed.changed)
    true.failed += committed.refusals
    true.done -= committed.changed + committed.refusals
    return true


class Sink(Protocol):
    """Where page commits go: the results into the job's tables, the rest into the run store, in one transaction."""

    async def commit(self, batch: Batch, writing: Callable[[], None]) -> Committed:
        """Commit a batch; `Transient` asks for the same batch again, until it is known to be committed or not.

        `writing` is called each time the results are about to be written: what is done from then on holds up nothing.
        """
        ...


class Ledger:
    """Book every outcome once."""

    def __init__(
        self,
        *,
        keeps_results: bool,
        keeps_records: bool = False,
        mends: bool = False,
        encode: Callable[[Key], JsonKey],
        budget: ErrorBudget,
        before: Tally,
        forgiven: Tally | None = None,
        max_affected: int | None = None,
        mask: Mask,
        on_group: Callable[[ErrorGroup], None],
    ) -> None:
        self._keeps_results, self._encode, self._mask, self._on_group = keeps_results, encode, mask, on_group
        self._before, self._mends, self._max_affected = before, mends, max_affected
        # What the budget counts of the attempts before: nothing of a run whose failed records are being replayed.
        self._spent = Tally() if mends else before.minus(forgiven or Tally())
        self._spending = Spending(budget)
        self._groups: dict[str, ErrorGroup] = {}
        self._write_bugs: dict[str, Exception] = {}
        """Of the commit that is under way, by fingerprint: what broke in `write`, for the stack."""
        self.tally = Tally()
        self.saved = Tally()
        """The counts as of the last page commit: what is finished and not in it is unfinished after all."""
        self.results: list[Result] = []
        self.dead_letters: list[DeadLetter] = []
        self.uncommitted = 0
        """What waits for the next page commit."""
        self.simple = not (keeps_records or mends) and max_affected is None
        """Whether all there is to a record that is done is `done`."""
        self.plain = self.simple and not keeps_results
        """Whether it is a count and nothing else."""
        self._mended: list[JsonKey] | None = [] if mends else None
        self._keeps_records = keeps_records
        self._finished: list[Record] = []
        self._failed: list[Failure] = []
        self.last_error: str | None = None
        self.overdrawn: str | None = None
        """Why the run must end, once its error budget is spent or one more change would be too many."""
        self.capped = False
        """Whether it is the changes."""

    @property
    def run_tally(self) -> Tally:
        """Give the run's counts over all its attempts."""
        return self.run_total(self.tally)

    def run_total(self, attempt: Tally) -> Tally:
        """Give the run's counts with this tally as the attempt's."""
        return self._before.after_replay(attempt) if self._mends else self._before.plus(attempt)

    def groups(self) -> tuple[ErrorGroup, ...]:
        """Give the error groups, the largest first."""
        return tuple(sorted(self._groups.values(), key=lambda group: -group.count))

    def done(self, record: Record, value: Any) -> None:
        """Count a record that is done, and keep its value for the job's `write`."""
        self.tally.done += 1
        if self._keeps_results:
            self.results.append(Result(record, value))
            self.uncommitted += 1

    def finish(
        self, record: Record, key: Callable[[], Key], outcome: object, tries: int, first_at: datetime | None
    ) -> None:
        """Book what `process` returned."""
        if self._mended is not None and type(outcome) in (Done, Skipped):
            self._mended.append(self._encode(key()))
        if self._keeps_records and type(outcome) in (Done, Skipped):
            self._finished.append(record)
        if type(outcome) is Done:
            self.done(record, outcome.value)
        elif type(outcome) is Skipped:
            self.tally.skip(self._mask(_storable(outcome.reason))[:_LONGEST_REASON])
        elif type(outcome) is Failed:
            self.fail(record, key(), outcome.type, outcome.message, tries, first_at)
        else:
            said = f"process returned {outcome!r:.80}; it must return done(…), skipped(…) or failed(…)"
            self.fail(record, key(), "NoOutcome", said, tries, first_at)

    def exceeds(self, outcome: object) -> bool:
        """Tell whether an outcome is one change too many: it must not be booked, and the run must end."""
        allowed = self._max_affected
        if allowed is None or type(outcome) is not Done or self._before.done + self.tally.done < allowed:
            return False
        self.capped = True
        self.overdrawn = f"it would change more than max_affected, {allowed:,} records; --max-affected N allows more"
        return True

    def gone(self) -> None:
        """Book a record that is no longer there, or no longer selected."""
        self.tally.skip("gone")

    def fail(
        self,
        record: Record,
        key: Key,
        type_name: str,
        message: str,
        tries: int,
        first_at: datetime | None,
        bug: BaseException | None = None,
    ) -> None:
        """Book a failed record: a dead letter, its error group, and what it costs the budget; of a bug, where it is, too."""
        self.tally.failed += 1
        now = datetime.now(UTC)
        where = bug and place(bug)
        text = self._shown(message) + (f" ({_storable(where)})" if where else "")
        letter = DeadLetter(self._encode(key), _storable(type_name), text, tries, first_at or now, now)
        self.dead_letters.append(letter)
        self.uncommitted += 1
        if self._keeps_records:
            self._failed.append(Failure(record, letter.type, letter.message))
        self._note(letter, bug)

    def refusal(self, key: Key, error: Exception) -> DeadLetter:
        """Make the dead letter of a result that cannot be written."""
        now = datetime.now(UTC)
        origin = in_job(error)
        text = self._shown(f"in write: {words(error)}") + (f" ({_storable(origin[1])})" if origin else "")
        letter = DeadLetter(self._encode(key), type(error).__name__, text, 1, now, now)
        if origin and is_bug(error):
            self._write_bugs.setdefault(fingerprint(letter.type, letter.message), error)
        return letter

    def take_batch(self, cursor: JsonKey | None, open_keys: list[JsonKey], complete: bool = False) -> Batch:
        """Hand over everything that is finished and not committed; `complete`: there will be no more."""
        batch = Batch(
            self.results,
            self.dead_letters,
            cursor,
            open_keys,
            self.tally.copy(),
            self._mended or (),
            self._finished,
            self._failed,
            complete and not self.overdrawn and not self.run_tally.failed,
        )
        self.results, self.dead_letters, self._finished, self._failed = [], [], [], []
        self.uncommitted = 0
        if self._mended is not None:
            self._mended = []
        return batch

    def committed(self, batch: Batch, committed: Committed) -> None:
        """Correct the counts by what was not really written."""
        self.saved = corrected(batch.tally, committed)
        self.tally = corrected(self.tally, committed)
        for letter in committed.refused:
            self._note(letter, self._write_bugs.get(fingerprint(letter.type, letter.message)))
        self._write_bugs.clear()

    def _shown(self, message: object) -> str:
        return self._mask(_storable(message))[:_LONGEST_MESSAGE]

    def _note(self, letter: DeadLetter, bug: BaseException | None = None) -> None:
        self.last_error = f"{letter.type}: {letter.message}"
        self._group(letter.type, letter.message, ", ".join(map(str, letter.key)), bug)
        self.overdrawn = self._spending.failed(self._spent.plus(self.tally), self.tally) or self.overdrawn

    def _group(self, type_name: str, message: str, sample_key: str, bug: BaseException | None) -> None:
        name = fingerprint(type_name, message)
        if name not in self._groups and len(self._groups) >= _MOST_GROUPS:
            name = type_name if len(self._groups) < 2 * _MOST_GROUPS or type_name in self._groups else _OTHERS
        group = self._groups.get(name)
        if group is None:
            group = ErrorGroup(fingerprint=name, type=type_name, message=message, sample_key=sample_key, count=0)
        self._groups[name] = group = replace(group, count=group.count + 1)
        if group.count == 1 and bug:
            self._on_group(replace(group, stack=self._mask(stack(bug))))
        elif _is_power_of_ten(group.count):
            self._on_group(group)


def _storable(said: object) -> str:
    """Give text that PostgreSQL takes, whatever a job says: a NUL or half a surrogate pair would refuse the page."""
    return str(said).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _is_power_of_ten(count: int) -> bool:
    while count >= 10 and count % 10 == 0:
        count //= 10
    return count == 1
