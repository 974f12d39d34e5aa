"""Write docs/metrics.md from the table in worker/report/metrics.py: `make documents`."""

from pathlib import Path

from worker.report import metrics

PAGE = Path(__file__).with_suffix(".md")

_HEAD = f"""\
# Metrics

What the worker sends to the Datadog Agent (DogStatsD) when `DD_DOGSTATSD_URL`, `DD_DOGSTATSD_SOCKET` or `DD_AGENT_HOST`
names one. This page is written by `make documents` from `worker/report/metrics.py`; a test holds it to the code.

Tags of every metric: {", ".join(f"`{tag}`" for tag in metrics.COMMON_TAGS)}. `env` and `version` are there when
`DD_ENV` and `DD_VERSION` (or the image) say them, `service` is the job unless `DD_SERVICE` says otherwise, `shard` is there
for shards (`2/8`). No tag names a run, an attempt, a task, a record or a message.

| Metric | Type | Unit | Further tags | Meaning |
| --- | --- | --- | --- | --- |
"""

_FOOT = """
`verdict` is the word of the exit-code table with `_` for spaces: `succeeded`, `completed_with_failures`, `interrupted` …
`reason` is the job's own word for skipping a record, numbers folded to `n`, at most ten an attempt; the rest is `other`.
`name` is the job's own word for a counter, at most twenty an attempt; the rest is `other`.

## How to ask for them

What adds up is a *distribution*, not a count. Every task has its own agent, and tasks of one job share all tags: of two
counts with the same tags in the same ten seconds Datadog keeps one. Distributions are merged, so sums and counts over
tasks are right.

| Question | Query |
| --- | --- |
| How many attempts succeeded? | `sum:worker.run.ended{verdict:succeeded} by {job}.rollup(sum)` |
| How many records failed? | `sum:worker.records{outcome:failed} by {job}.rollup(sum)` |
| How many page commits, and how slow? | `count:worker.commit.duration{*} by {job}`, `max:worker.commit.duration{*} by {job}` |
| How long do runs take? | `max:worker.run.duration{*} by {job}` |

Gauges are of the moment: of tasks that share all tags at the same time (runs of one job with different scopes) one is seen.

Set `DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS=true` on the agent: without it the last seconds of a run, its end among them, are
lost when agent and worker stop together.
"""


_WATCHED = """
## What watches from outside

The functions that watch tasks and runs (`worker/functions`) send these to Datadog's API (`DD_API_KEY`, `DD_SITE`), and log
them as CloudWatch metrics `TaskStopped` and `RunMissed` in the namespace `BatchWorker`. The tags beside them: `env`.

| Metric | Type | Unit | Tags | Meaning |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Give the page."""
    return _HEAD + _rows(metrics.METRICS) + _FOOT + _WATCHED + _rows(metrics.WATCHED)


def _rows(table: tuple[metrics.Metric, ...]) -> str:
    return "".join(
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(f'`{tag}`' for tag in metric.tags)} | {metric.meaning} |\n"
        for metric in table
    )


if __name__ == "__main__":
    PAGE.write_text(page())
