"""One call that puts a job on trial: kill it, stop it, start it twice, freeze it, take its database away."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from worker.testing.databases import Restart, cut, restart_database
from worker.testing.elsewhere import Fresh, nowhere
from worker.testing.holders import freeze, start_twice
from worker.testing.kills import kill, kill_at_commits, stop
from worker.testing.report import Report
from worker.testing.state import Counts
from worker.testing.trial import Calls, Subject, Trial


async def kill_anywhere(
    job: str,
    *,
    database: str | None = None,
    world: Fresh | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    seed: int,
    compare: Sequence[str] | None = None,
    except_columns: Sequence[str] = (),
    counts: Counts = "exact",
    calls: Calls = dict,
    kills: int = 0,
    commits: int = 0,
    stops: int = 0,
    pairs: int = 0,
    freezes: int = 0,
    cuts: int = 0,
    restarts: int = 0,
    restart: Restart | None = None,
) -> Report:
    """Run a job on copies of a database, disturb it so many times in each way, and hold that each copy ends the same.

    `database` is never changed, and nobody may be connected to it. What else the job works on is in a fresh `world` for each run;
    without `database` the run store is there too, and there are no commits, cuts and restarts. `compare` names the tables (all,
    but for the run store's), `except_columns` what may differ (times), `counts` which outcomes may. `calls` gives how often each
    outside call was made so far. Raises AssertionError with the seed, what broke it, and the rows that differ.
    """
    if database is None and world is None:
        raise ValueError("kill_anywhere is given database, world, or both")
    if database is None and (commits or cuts or restarts):
        raise ValueError("commits, cuts and restarts are for a database: ask for kills, stops, pairs and freezes")
    subject = Subject(
        job=job,
        database=database,
        world=world or nowhere,
        environment=environment,
        compare=compare,
        except_columns=except_columns,
        counts=counts,
        calls=calls,
    )
    trial = Trial(subject, seed)
    await trial.begin()
    await kill(trial, kills)
    await kill_at_commits(trial, commits)
    await stop(trial, stops)
    await start_twice(trial, pairs)
    await freeze(trial, freezes)
    await cut(trial, cuts)
    if restart is not None:
        await restart_database(trial, restarts, restart)
    return trial.report
