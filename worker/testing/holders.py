"""Two of a kind: simultaneous starts, and holders that freeze for longer than their lease."""

import asyncio
import signal

from worker.testing.attempt import Attempt
from worker.testing.trial import RUN_KEY, Round, Trial
from worker.verdict import Verdict

PAIRS = "simultaneous starts"
FREEZES = "freezes"


async def start_twice(trial: Trial, count: int) -> None:
    """Start two attempts at once, in turn of the same run, of two runs, and of the same run with `--wait`.

    One works, the other names it and ends well; with `--wait` it ends with the worker's code.
    """
    ways = ((RUN_KEY, ()), ("another", ()), (RUN_KEY, ("--wait",)))
    for number in range(count):
        async with trial.round(PAIRS) as running:
            await _start_both(trial, running, *ways[number % len(ways)])


async def _start_both(trial: Trial, running: Round, other_key: str, arguments: tuple[str, ...]) -> None:
    async with running.attempt(RUN_KEY, arguments) as one, running.attempt(other_key, arguments) as other:
        commands = [" ".join(("--run-key", key, *arguments)) for key in (RUN_KEY, other_key)]
        running.history.append(f"started at once with {' and '.join(commands)}")
        codes = await asyncio.gather(running.code(one), running.code(other))
    both = f"they ended as {one.verdict!r} ({one.detail}) and {other.verdict!r} ({other.detail}), {codes}"
    idle = [attempt for attempt in (one, other) if attempt.verdict in _IDLE]
    assert len(idle) == 1, f"not exactly one of both worked: {both}"
    expected = _IDLE[:1] if other_key == RUN_KEY else _IDLE[1:]
    assert idle[0].verdict in expected, both
    assert f"{trial.subject.job}:" in idle[0].detail, f"the second does not name the first: {both}"
    assert max(codes) <= 1, both
    assert not arguments or codes[0] == codes[1], f"who waited did not end with the worker's code: {both}"
    running.run_key = other_key if idle[0] is one else RUN_KEY


async def freeze(trial: Trial, count: int) -> None:
    """Freeze holders for longer than their lease, in turn: with a successor, in a page commit with one, without."""
    in_commit = (_freeze_in_commit,) if trial.subject.database else ()
    ways = (_freeze_and_succeed, *in_commit, _freeze_alone)
    for number in range(count):
        async with trial.round(FREEZES) as running, running.attempt() as holder:
            await holder.until(holder.at_work, trial.subject.within_s)
            await ways[number % len(ways)](trial, running, holder)


async def _freeze_and_succeed(trial: Trial, running: Round, holder: Attempt) -> None:
    await _freeze_at_random(trial, running, holder)
    await _succeed(trial, running, holder)


async def _freeze_in_commit(trial: Trial, running: Round, holder: Attempt) -> None:
    """Freeze it with its transaction open: what that has locked must not hold up its successor for long."""
    reached = running.proxy.stop_at(b"COMMIT", 1, "before")
    await holder.until(reached.happened, trial.subject.within_s)
    holder.send(signal.SIGSTOP)
    running.history.append("SIGSTOP of attempt 1 in a page commit")
    await _succeed(trial, running, holder, reached.released)


async def _freeze_alone(trial: Trial, running: Round, holder: Attempt) -> None:
    await _freeze_at_random(trial, running, holder)
    await asyncio.sleep(1.5 * trial.subject.lease_s)
    holder.send(signal.SIGCONT)
    code = await running.code(holder)
    assert code in (0, 1), f"it did not go on: {code}, {holder.verdict}: {holder.detail}"


async def _freeze_at_random(trial: Trial, running: Round, holder: Attempt) -> None:
    after_s = trial.random.uniform(0, trial.report.duration_s / 2)
    await asyncio.sleep(after_s)
    holder.send(signal.SIGSTOP)
    running.history.append(f"SIGSTOP {after_s:.3f} s after attempt 1 began")


async def _succeed(trial: Trial, running: Round, holder: Attempt, released: asyncio.Event | None = None) -> None:
    """Have the frozen holder succeeded, and let it go on: it must find that it lost its lease, and write nothing."""
    async with running.attempt() as successor:
        await successor.until(successor.at_work, trial.subject.within_s)
        running.history[-1] += ", SIGCONT once a successor had taken over"
        if released is not None:
            released.set()
        holder.send(signal.SIGCONT)
        codes = await asyncio.gather(running.code(holder), running.code(successor))
    if successor.verdict == Verdict.ALREADY_DONE.word:
        return  # it froze after its work
    told = f"frozen {holder.verdict!r} ({holder.detail}), successor {successor.verdict!r} ({successor.detail}), {codes}"
    assert codes[0] == Verdict.LEASE_LOST.exit_code, told
    assert codes[1] in (0, 1), told


_IDLE = (Verdict.ALREADY_RUNNING.word, Verdict.ALREADY_DONE.word, Verdict.OVERLAPPED.word)
