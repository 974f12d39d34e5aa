-- Launches: who started a task for which run, and what takes room under the caps. A launch comes before its run: it names no row of runs.

CREATE TABLE worker.launches (
    id          text PRIMARY KEY,                   -- client token, startedBy and correlation id: made of run, shard and number
    run_id      text NOT NULL,
    shard       text NOT NULL DEFAULT '',
    number      integer NOT NULL,
    job         text NOT NULL,
    lease       text NOT NULL,
    scope_hash  text NOT NULL,
    dry_run     boolean NOT NULL,
    request     jsonb NOT NULL,                     -- what starts the run again: a scope with secrets only by its reference
    restarts    integer NOT NULL,                   -- how often the run was started again by itself, so far
    state       text NOT NULL,                      -- reserved, placed, failed or over
    task_arn    text,
    reason      text NOT NULL DEFAULT '',
    reserved_at timestamptz NOT NULL,
    ended_at    timestamptz,
    UNIQUE (run_id, shard, number)
);

CREATE INDEX launches_live ON worker.launches (reserved_at) WHERE state IN ('reserved', 'placed');
CREATE INDEX launches_by_time ON worker.launches (reserved_at);
