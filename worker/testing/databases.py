"""Take the database away: connections cut at random instants and around COMMITs, and the server restarted."""

from collections.abc import Awaitable, Callable

from worker.testing.attempt import Attempt
from worker.testing.trial import Round, Trial

CUTS = "connection cuts"
RESTARTS = "restarts of the database"

Restart = Callable[[], Awaitable[None]]


async def cut(trial: Trial, count: int) -> None:
    """Cut all connections at random instants, and one of them at COMMITs: the same attempt goes on."""
    await _disturb(trial, count, CUTS, _cut)


async def restart_database(trial: Trial, count: int, again: Restart) -> None:
    """Restart the server at random instants: the same attempt goes on."""

    async def restarted(trial: Trial, running: Round) -> str:
        await again()
        return "the database was restarted"

    await _disturb(trial, count, RESTARTS, restarted)


async def _disturb(trial: Trial, count: int, kind: str, how: Callable[[Trial, Round], Awaitable[str]]) -> None:
    while trial.report.disturbed[kind] < count:
        async with trial.round(kind) as running, running.attempt() as attempt:
            left = count - trial.report.disturbed[kind]
            while left > len(running.history) and not await _ended(attempt, trial):
                running.history.append(await how(trial, running))
                await attempt.until(attempt.at_work, trial.subject.within_s)  # the first came at any time
            code = await running.code(attempt)
            assert code in (0, 1), f"it ended with {code}, {attempt.verdict}: {attempt.detail}"


async def _cut(trial: Trial, running: Round) -> str:
    """Cut in one of three ways, in turn; the next COMMIT from then on is the one that is cut off."""
    match len(running.history) % 3:
        case 0:
            running.proxy.cut()
            return "all connections were cut"
        case 1:
            running.proxy.cut_after(b"COMMIT")
            return "the answer to the next COMMIT was lost"
        case _:
            running.proxy.cut_before(b"COMMIT")
            return "the connection was cut before the next COMMIT"


async def _ended(attempt: Attempt, trial: Trial) -> bool:
    """Give an attempt a random time, and tell whether it has ended within it."""
    try:
        await attempt.ended(trial.random.uniform(0, trial.report.duration_s / 4))
    except TimeoutError:
        return False
    return True
