"""The run store's SQL for shards and the runs that they are parts of; a shard's row is always locked before its run's."""

INSERT = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, parent, shard)
SELECT $1, job, run_key, scope, scope_hash, mode, 'pending', run_id, $3 FROM worker.runs WHERE run_id = $2
ON CONFLICT (run_id) DO NOTHING"""

WHOLE = "SELECT status, scope, scope_hash, mode, ended_at, shards FROM worker.runs WHERE run_id = $1"

BOUNDS = "SELECT bounds::text AS bounds FROM worker.runs WHERE run_id = $1 AND shards IS NOT NULL"

# Where nobody held the run, a new attempt of the whole begins: with all shards that have records left.
JOIN = """
UPDATE worker.runs SET lease = $2, token = NULL, status = 'running', detail = '', ended_at = NULL, untold = NULL,
    heartbeat_at = now(), lease_until = now() + make_interval(secs => $3), bounds = coalesce(bounds, $5::text::jsonb),
    attempt = attempt + CASE WHEN lease IS NULL THEN 1 ELSE 0 END,
    open_shards = CASE WHEN lease IS NULL THEN ARRAY(
            SELECT n FROM generate_series(1, shards) n WHERE n = $4 OR NOT EXISTS (
                SELECT FROM worker.runs p WHERE p.parent = $1 AND p.shard = n
                    AND p.status IN ('succeeded', 'completed with failures')))
        WHEN $4 = ANY (open_shards) THEN open_shards ELSE array_append(open_shards, $4) END
WHERE run_id = $1 RETURNING attempt, bounds::text AS bounds, tally::text AS tally"""

JOINED = """
INSERT INTO worker.attempts (run_id, number, token, host, version, before)
VALUES ($1, $2, nextval('worker.tokens'), $3, $4, $5::text::jsonb) ON CONFLICT (run_id, number) DO NOTHING"""

HEARTBEAT = """
WITH own AS (
    UPDATE worker.runs SET heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
    WHERE run_id = $1 AND token = $2 RETURNING commits, parent),
whole AS (
    UPDATE worker.runs r SET heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
    FROM own WHERE r.run_id = own.parent AND r.lease IS NOT NULL AND r.token IS NULL)
SELECT commits FROM own"""

DEPOSE = """
UPDATE worker.runs r SET lease = NULL, token = NULL, lease_until = NULL, status = coalesce(a.prior, 'interrupted'),
    detail = 'killed', ended_at = r.heartbeat_at
FROM worker.attempts a WHERE r.parent = $1 AND ($2::int IS NULL OR r.shard = $2) AND r.lease IS NOT NULL
    AND a.run_id = r.run_id AND a.number = r.attempt"""

CLOSE_DEAD = """
UPDATE worker.attempts a SET ended_at = r.heartbeat_at, verdict = 'interrupted', detail = 'killed'
FROM worker.runs r WHERE r.parent = $1 AND ($2::int IS NULL OR r.shard = $2) AND r.lease IS NULL
    AND a.run_id = r.run_id AND a.number = r.attempt AND a.ended_at IS NULL"""

LOCK = "SELECT shards FROM worker.runs WHERE run_id = $1 FOR NO KEY UPDATE"

WORKED = "UPDATE worker.runs SET worked = true WHERE run_id = $1"

HOW_MANY_WORKED = "SELECT count(*) FROM worker.runs WHERE parent = $1 AND worked"

ENDED = "SELECT FROM worker.runs WHERE run_id = $1 AND attempt = $2 AND lease IS NULL"

LEAVE = """
UPDATE worker.runs SET open_shards = array_remove(open_shards, $2),
    untold = CASE WHEN open_shards = ARRAY[$2::int] THEN $2 ELSE untold END
WHERE run_id = $1 RETURNING untold"""

TO_CLOSE = """
SELECT r.job, r.run_key, r.scope::text AS scope, r.mode, r.attempt, r.tally::text AS tally, r.summed::text AS summed,
    a.started_at, a.before::text AS before
FROM worker.runs r JOIN worker.attempts a ON a.run_id = r.run_id AND a.number = r.attempt WHERE r.run_id = $1"""

PARTS = """
SELECT n AS number, coalesce(r.status, 'pending') AS status, coalesce(r.detail, '') AS detail,
    coalesce(r.tally, '{}')::text AS tally, coalesce(a.summary, 'null')::text AS summary
FROM generate_series(1, (SELECT shards FROM worker.runs WHERE run_id = $1)) n
LEFT JOIN worker.runs r ON r.parent = $1 AND r.shard = n
LEFT JOIN worker.attempts a ON a.run_id = r.run_id AND a.number = r.attempt ORDER BY n"""

CLOSE = """
UPDATE worker.runs SET lease = NULL, token = NULL, lease_until = NULL, status = $2, detail = $3, tally = $4::text::jsonb,
    summed = $5::text::jsonb, ended_at = now()
WHERE run_id = $1"""

TOLD = "UPDATE worker.runs SET untold = NULL WHERE run_id = $1"

OTHERS_TASK = """
SELECT FROM worker.runs r JOIN worker.attempts a ON a.run_id = r.run_id AND a.number = r.attempt
WHERE r.parent = $1 AND r.shard = $2 AND a.task_arn IS DISTINCT FROM $3"""
