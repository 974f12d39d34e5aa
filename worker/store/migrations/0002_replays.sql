-- Replays of dead letters, idempotency keys that a replay by hand makes anew, and what keeps a year of runs instant.

ALTER TABLE worker.runs
    ADD COLUMN replays integer NOT NULL DEFAULT 0,      -- how many times its dead letters were replayed
    ADD COLUMN forgiven jsonb NOT NULL DEFAULT '{}';    -- the tally at its last abort: the error budget counts from there

ALTER TABLE worker.attempts
    ADD COLUMN replay integer,      -- which of the replays it works on; NULL for an attempt at the run itself
    ADD COLUMN prior text;          -- the run's status before a replay: it is that again, unless the replay makes a completed run succeed

CREATE INDEX dead_letters_by_type ON worker.dead_letters (run_id, type, key);

-- The median of the last runs: an index of just those that it looks at.
CREATE INDEX runs_succeeded ON worker.runs (job, mode, scope_hash, created_at DESC) WHERE status = 'succeeded';
