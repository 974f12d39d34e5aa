"""Report a day's sales by the hour, a table and a chart for each region, in S3."""

import datetime

from worker import (
    Bucket,
    Cron,
    Database,
    Job,
    Limits,
    Outcome,
    Record,
    Run,
    Scope,
    Source,
    done,
    figures,
    minutes,
    postgres,
    skipped,
)


class Day(Scope):
    """Which day, in UTC: the one before the run was due unless it is said; which region: all of them."""

    date: datetime.date | None = None
    region: str | None = None


class DailyReport(Job[Day]):
    """A report is made anew as often as it is asked for, and put where it was only if it differs."""

    schedule = Cron("30 1 * * ? *", zone="UTC")
    timeout = minutes(30)
    limits = Limits(concurrency=4)
    environment = {"REPORTS_BUCKET": None}

    REGIONS = """SELECT region FROM purchases WHERE ($2::text IS NULL OR region = $2)
          AND sold_at >= $1::date::timestamp AT TIME ZONE 'UTC' AND sold_at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY region"""

    BY_HOUR = """SELECT hour, count(id) AS sales, round(coalesce(sum(amount_cents), 0) / 100.0, 2) AS revenue
        FROM generate_series(0, 23) AS hour LEFT JOIN purchases ON region = $2
          AND sold_at >= $1::date::timestamp AT TIME ZONE 'UTC' + make_interval(hours => hour)
          AND sold_at < $1::date::timestamp AT TIME ZONE 'UTC' + make_interval(hours => hour + 1)
        GROUP BY hour ORDER BY hour"""

    def source(self, run: Run[Day]) -> Source:
        self.day = run.scope.date or (run.due - datetime.timedelta(days=1)).date()
        return postgres.query(self.REGIONS, self.day, run.scope.region, key="region")

    async def open(self, run: Run[Day]) -> None:
        self.database = await run.enter(Database(run))
        self.reports = await run.enter(Bucket(run, run.environment["REPORTS_BUCKET"]))

    async def process(self, record: Record, run: Run[Day]) -> Outcome:
        region, place = record["region"], f"sales/{self.day}/{record['region']}"
        hours = await self.database.fetch(self.BY_HOUR, self.day, region)
        chart = figures.bars(hours, "hour", "revenue", title=f"{region}, {self.day} (UTC)")
        files = {f"{place}.csv": figures.csv(hours), f"{place}.svg": chart}
        changed = await self.reports.update(files)
        run.links |= {} if run.dry_run else {key: self.reports.address(key) for key in files}
        return done(changed) if changed else skipped("unchanged")
