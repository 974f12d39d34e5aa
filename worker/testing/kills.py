"""End attempts: with SIGKILL at random instants and at commit boundaries, with SIGTERM at random instants."""

import signal
from typing import get_args

from worker.testing.attempt import Attempt
from worker.testing.proxy import When
from worker.testing.trial import Round, Trial
from worker.verdict import Verdict

KILLS = "kills"
COMMITS = "kills at commits"
STOPS = "stops"

_INTERRUPTED = Verdict.INTERRUPTED.exit_code


async def kill(trial: Trial, count: int) -> None:
    """Kill attempts at random instants, from the start of their processes on; each run goes on until one is faster."""
    while trial.report.disturbed[KILLS] < count:
        async with trial.round(KILLS) as running:
            while trial.report.disturbed[KILLS] + len(running.history) < count:
                if not await _killed(trial, running):
                    break
            else:
                await running.finish()


async def _killed(trial: Trial, running: Round) -> bool:
    """Give an attempt a random time; kill it, or find that it has come to its end."""
    lease_s = trial.subject.lease_s if running.history else 0.0
    after_s = trial.random.uniform(0, trial.report.duration_s + lease_s)
    async with running.attempt() as attempt:
        if await _ends_within(attempt, after_s):
            return _succeeded(attempt, await running.code(attempt))
        attempt.send(signal.SIGKILL)
        running.history.append(f"SIGKILL {after_s:.3f} s after the start of process {running.attempts}")
    return True


async def kill_at_commits(trial: Trial, count: int) -> None:
    """Kill runs at commit boundaries: before PostgreSQL has the COMMIT, before the worker knows, once it knows."""
    boundaries: list[tuple[int, When]] = [(nth, when) for nth in range(1, trial.commits + 1) for when in get_args(When)]
    for nth, when in trial.random.sample(boundaries, min(count, len(boundaries))):
        async with trial.round(COMMITS) as running:
            reached = running.proxy.stop_at(b"COMMIT", nth, when)
            async with running.attempt() as attempt:
                await attempt.until(reached.happened, trial.subject.within_s)
                if not reached.happened.is_set():  # fewer commits this time: it has ended
                    continue
                attempt.send(signal.SIGKILL)
                running.history.append(f"SIGKILL at COMMIT {nth} of {trial.commits}, {_WORDS[when]}")
            reached.released.set()
            await running.finish()


async def stop(trial: Trial, count: int) -> None:
    """Stop attempts with SIGTERM at random instants, from their first log line on: exit 75 within the stop timeout."""
    while trial.report.disturbed[STOPS] < count:
        async with trial.round(STOPS) as running:
            while trial.report.disturbed[STOPS] + len(running.history) < count:
                if not await _stopped(trial, running):
                    break
            else:
                await running.finish()


async def _stopped(trial: Trial, running: Round) -> bool:
    """Ask an attempt to stop after a random time; tell whether it was interrupted by that, and not faster."""
    after_s = trial.random.uniform(0, trial.report.duration_s)
    async with running.attempt() as attempt:
        await attempt.until(attempt.awake, trial.subject.within_s)
        if await _ends_within(attempt, after_s):
            return _succeeded(attempt, await running.code(attempt))
        attempt.send(signal.SIGTERM)
        asked = f"SIGTERM {after_s:.3f} s after the first line of attempt {running.attempts}"
        code = await attempt.ended(trial.subject.stop_timeout_s)
        if code != _INTERRUPTED:  # it was done already
            return _succeeded(attempt, code)
        running.history.append(asked)
    return True


async def _ends_within(attempt: Attempt, seconds: float) -> bool:
    try:
        await attempt.ended(seconds)
    except TimeoutError:
        return False
    return True


def _succeeded(attempt: Attempt, code: int) -> bool:
    """Hold that an attempt which nobody ended came to its end; it is no disturbance."""
    assert code in (0, 1), f"it ended with {code}, {attempt.verdict}: {attempt.detail}"
    return False


_WORDS: dict[When, str] = {
    "before": "before PostgreSQL had it",
    "between": "after PostgreSQL did it and before the worker knew",
    "after": "once the worker knew",
}
