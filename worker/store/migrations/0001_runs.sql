-- Runs, their attempts, and what failed. One row of `runs` is checkpoint and lease at once, so that a page commit is fenced,
-- saved and renewed by updating it.

CREATE SEQUENCE worker.tokens;

CREATE TABLE worker.runs (
    run_id       text PRIMARY KEY,                  -- job:run_key
    job          text NOT NULL,
    run_key      text NOT NULL,
    scope        jsonb NOT NULL,                    -- as shown: secret fields masked
    scope_hash   text NOT NULL,                     -- of the whole scope: the same key with another scope is refused
    mode         text NOT NULL,                     -- run, dry-run or canary
    status       text NOT NULL,                     -- running, or the word of the last attempt's verdict
    detail       text NOT NULL DEFAULT '',
    attempt      integer NOT NULL DEFAULT 0,        -- the number of the last attempt
    -- the checkpoint
    source       text,                              -- the source's key order: a cursor fits no other
    cursor       jsonb,
    open_keys    jsonb NOT NULL DEFAULT '[]',
    tally        jsonb NOT NULL DEFAULT '{}',
    commits      bigint NOT NULL DEFAULT 0,
    -- the lease: held while `lease` names what is leased; fenced by `token`
    lease        text,
    token        bigint,
    heartbeat_at timestamptz,
    lease_until  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz
) WITH (fillfactor = 50);                           -- a commit updates the row in place (HOT)

CREATE UNIQUE INDEX runs_lease ON worker.runs (lease) WHERE lease IS NOT NULL;
CREATE INDEX runs_by_job ON worker.runs (job, created_at DESC);
CREATE INDEX runs_by_time ON worker.runs (created_at DESC);

CREATE TABLE worker.attempts (
    run_id     text NOT NULL REFERENCES worker.runs ON DELETE CASCADE,
    number     integer NOT NULL,
    token      bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    verdict    text,
    exit_code  integer,
    detail     text NOT NULL DEFAULT '',
    task_arn   text,
    host       text NOT NULL DEFAULT '',
    version    text NOT NULL DEFAULT '',
    before     jsonb NOT NULL DEFAULT '{}',         -- the run's tally when the attempt began
    tally      jsonb NOT NULL DEFAULT '{}',         -- the attempt's own
    summary    jsonb,
    PRIMARY KEY (run_id, number)
);

CREATE TABLE worker.dead_letters (
    run_id   text NOT NULL REFERENCES worker.runs ON DELETE CASCADE,
    key      jsonb NOT NULL,
    type     text NOT NULL,
    message  text NOT NULL,
    tries    integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (run_id, key)
);
