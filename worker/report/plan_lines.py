"""A plan in words: the table of `launch --plan`, and what follows from it."""

from collections.abc import Iterator

from worker.plan import CONCURRENCY, CPU, OWN, START_S, Bound, Measured, Plan, Way, Work, cores, unknown
from worker.report import words


def lines(made: Plan, scope: str) -> Iterator[str]:
    """Say a plan in lines: what a record takes, what one task lets through, what shards change, and what to think of."""
    work = made.work
    yield f"{work.job}, scope {scope}: {work.records:,} records"
    yield f"a record: {', '.join(_record(work.measured, work)) or 'nothing is known but its limits'}"
    yield f"  {_whence(work)}"
    yield ""
    yield "one task lets through"
    for bound in made.bounds:
        yield f"  {bound.part:<14} {words.rate(bound.per_second):>12}{_of(bound, work)}"
    yield ""
    yield from _table(made)
    yield ""
    yield from _notes(made)


def _record(known: Measured, work: Work) -> Iterator[str]:
    for taken_s, what in (
        (known.in_flight_s, "in flight"),
        (known.cpu_s, "of CPU"),
        (known.reading_s, "of reading"),
        (known.committing_s, "of page commits"),
    ):
        if taken_s:
            yield f"{_short(taken_s)} {what}"
    for rate in work.limits.named:
        if rate.name in known.calls:
            yield f"{known.calls[rate.name]:.3g} calls of {rate.name}"


def _whence(work: Work) -> str:
    known = work.measured
    if known.run is not None:
        return f"as in run {known.run} ({known.records:,} records){', but for what was said' if known.said else ''}"
    return "as said" if known != Measured() else unknown(work.job)


def _of(bound: Bound, work: Work) -> str:
    if bound.part == CPU:
        return f" with {cores((work.size.cpu or 1024) / 1024):g} of a core"
    return f" with {work.limits.concurrency} in flight" if bound.part == CONCURRENCY else ""


def _table(made: Plan) -> Iterator[str]:
    head = ("SHARDS", "RECORDS/S", "TAKES", "LIMITED BY", "COST", "COMMITS/S", "CONNECTIONS")
    rows = [head, *map(_row, made.ways)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(way: Way) -> tuple[str, ...]:
    numbers = f"{way.shards:,}", words.number(way.per_second), words.duration(way.duration_s)
    return (
        *numbers,
        way.limited_by,
        f"${way.cost:,.2f}",
        words.number(way.commits_per_second),
        f"{way.connections:,}" if way.connections else "",
    )


def _notes(made: Plan) -> Iterator[str]:
    work, last = made.work, made.ways[-1]
    yield _helps(made)
    if (more := made.concurrency) is not None and more > work.limits.concurrency:
        yield f"With concurrency={more} one task would be limited by {made.bounds[1].part}: {words.rate(made.bounds[1].per_second)}."
    yield from _fits(made)
    if made.enough > work.max_tasks and last.shards > work.max_tasks:
        yield f"The launcher starts {work.max_tasks} at a time (max_tasks of the job); a state machine starts all."
    if made.memory_is_short:
        peak, own = words.size(work.measured.peak_memory), work.size.worker_memory
        yield f"Its peak was {peak}; the worker's share of the task's memory is {own:,} MiB: take the next size."
    if any(rate.shared for rate in work.limits.named):
        yield "A shared limit is counted whole: what other tasks use of it is not there for this run."
    yield f"TAKES is from the launch on: {START_S:g} s of it until the first record (ECS takes 20 to 60 s)."
    spot = "; Spot is up to 70 % less" if work.size.spot else ""
    sizes = f"{work.size.cpu:,} CPU units and {work.size.memory:,} MiB a task"
    yield (
        f"Cost: {sizes}; ${work.prices.vcpu_hour:g} a vCPU and hour, ${work.prices.gb_hour:g} a GB and hour ({work.prices.of}){spot}."
    )


def _helps(made: Plan) -> str:
    if not made.work.divisible:
        return "Its source cannot be divided: it is one task's work."
    own = made.beyond in OWN
    if made.enough == 1:
        why = "they take longer to start than one task to do the work" if own else f"{made.beyond} is the run's"
        return f"Shards do not help: {why}."
    if own and 2 * made.enough > made.most:
        return f"Up to {made.most:,} shards help; more cannot share its limits."
    why = "they take longer to start than they save" if own else f"{made.beyond} is the limit of all together"
    return f"Up to {made.enough:,} shards help; more do not: {why}."


def _fits(made: Plan) -> Iterator[str]:
    work, one = made.work, made.ways[0]
    for seconds, what, otherwise in (
        (
            work.timeout_s,
            "the job's timeout",
            "its attempts end with exit 75, and the run goes on when it is started again",
        ),
        (work.interval_s, "the time between two runs of its schedule", "those in between end as overlapped"),
    ):
        if seconds is None or one.work_s <= seconds:
            continue
        first = made.first_within(seconds)
        within = f"{first:,} shards do" if first else "no number of shards does"
        yield f"One task does not fit {what} ({words.duration(seconds)}), {within}: {otherwise}."


def _short(seconds: float) -> str:
    """Write a time that may be short: `21 ms`, `0.31 ms`, `2.5 s`."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
