"""The run store's SQL: what each statement must hold is said where it is used, in postgres.py."""

MISSING_RIGHTS = """
SELECT privilege || ' ON worker.' || name AS missing
FROM unnest(ARRAY['runs', 'attempts', 'dead_letters']) AS name, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
WHERE NOT has_table_privilege('worker.' || name, privilege)
UNION ALL
SELECT 'DELETE ON worker.dead_letters' WHERE NOT has_table_privilege('worker.dead_letters', 'DELETE')
UNION ALL
SELECT 'USAGE ON SEQUENCE worker.tokens' WHERE NOT has_sequence_privilege('worker.tokens', 'USAGE')"""

ONE_CLAIM_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('worker lease ' || $1, 0))"

MORTAL = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"  # not for the session: poolers share it

INSERT = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, shards, open_shards)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, 'pending', $7, $8) ON CONFLICT (run_id) DO NOTHING"""

HOLDER = "SELECT run_id, attempt, token, heartbeat_at, commits FROM worker.runs WHERE lease = $1 FOR UPDATE"

OWN_ROW = "SELECT status, scope, scope_hash, mode, ended_at, shards FROM worker.runs WHERE run_id = $1 FOR UPDATE"

DEPOSE = """
UPDATE worker.runs r SET lease = NULL, token = NULL, lease_until = NULL, status = coalesce(a.prior, 'interrupted'),
    detail = 'killed', ended_at = r.heartbeat_at
FROM worker.attempts a WHERE r.run_id = $1 AND a.run_id = r.run_id AND a.number = r.attempt"""

CLOSE_DEAD = """
UPDATE worker.attempts a SET ended_at = r.heartbeat_at, verdict = $3, detail = 'killed'
FROM worker.runs r WHERE r.run_id = $1 AND a.run_id = $1 AND a.number = $2 AND a.ended_at IS NULL"""

# $4: begin anew; $5: replay the dead letters. A replay that was cut short goes on under its number, any other is a new one.
TAKE = """
UPDATE worker.runs r SET lease = $2, token = nextval('worker.tokens'), attempt = attempt + 1, status = 'running', detail = '',
    heartbeat_at = now(), lease_until = now() + make_interval(secs => $3), ended_at = NULL,
    cursor = CASE WHEN $4 THEN NULL ELSE cursor END, open_keys = CASE WHEN $4 THEN '[]' ELSE open_keys END,
    tally = CASE WHEN $4 THEN '{}' ELSE tally END, source = CASE WHEN $4 THEN NULL ELSE source END,
    worked = worked AND NOT $4,
    forgiven = CASE WHEN $4 THEN '{}' WHEN status = 'aborted' THEN tally ELSE forgiven END,
    replays = replays + CASE WHEN $5 AND NOT EXISTS (
        SELECT FROM worker.attempts a WHERE a.run_id = r.run_id AND a.number = r.attempt AND a.replay IS NOT NULL
            AND a.verdict = 'interrupted') THEN 1 ELSE 0 END
WHERE run_id = $1
RETURNING token, attempt, source, coalesce(cursor, 'null')::text AS cursor, open_keys::text AS open_keys, tally::text AS tally,
    forgiven::text AS forgiven, replays, commits"""

ATTEMPT = """
INSERT INTO worker.attempts (run_id, number, token, task_arn, host, version, before, replay, prior)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9)"""

HEARTBEAT = """
UPDATE worker.runs SET heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
WHERE run_id = $1 AND token = $2 RETURNING commits"""

# Mortal as well, in the same round trip.
FENCE = """
UPDATE worker.runs SET commits = commits + 1, heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
WHERE run_id = $1 AND token = $2 RETURNING commits, set_config('idle_in_transaction_session_timeout', $4, true)"""

CHECKPOINT = """
UPDATE worker.runs SET source = $2, cursor = $3::text::jsonb, open_keys = $4::text::jsonb, tally = $5::text::jsonb
WHERE run_id = $1"""

DEAD_LETTERS = """
INSERT INTO worker.dead_letters (run_id, key, type, message, tries, first_at, last_at, shard)
SELECT $1, key::jsonb, type, message, tries, first_at, last_at, $8
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[])
    AS letter (key, type, message, tries, first_at, last_at)
ON CONFLICT (run_id, key) DO UPDATE SET type = excluded.type, message = excluded.message,
    tries = dead_letters.tries + excluded.tries, last_at = excluded.last_at"""

COMMITS = "SELECT commits, tally::text AS tally FROM worker.runs WHERE run_id = $1 AND token = $2 FOR UPDATE"

CLOSE = """
UPDATE worker.attempts SET ended_at = now(), verdict = $3, exit_code = $4, detail = $5, tally = $6::text::jsonb,
    summary = $7::text::jsonb
WHERE run_id = $1 AND number = $2"""

RELEASE = """
UPDATE worker.runs SET lease = NULL, token = NULL, lease_until = NULL, status = $3, detail = $4, ended_at = now()
WHERE run_id = $1 AND token = $2"""

HISTORY = """
SELECT count(*) AS runs,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS duration_s,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(tally->>'read', '0')::float) AS records,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(tally->>'failed', '0')::float) AS failed
FROM (
    SELECT r.tally, (SELECT sum(extract(epoch FROM a.ended_at - a.started_at))::float FROM worker.attempts a
                     WHERE a.run_id = r.run_id) AS duration_s
    FROM worker.runs r
    WHERE r.job = $1 AND r.mode = $2 AND r.scope_hash = $3 AND r.status = 'succeeded' AND r.parent IS NULL AND r.run_id <> $4
    ORDER BY r.created_at DESC LIMIT 10
) AS recent"""

TALLY = "UPDATE worker.runs SET tally = $2::text::jsonb WHERE run_id = $1"

# By the key itself, not by its text, which the output's name would mean: what is read next is what is greater.
LETTERS = """
SELECT d.key::text AS key FROM worker.dead_letters d
WHERE d.run_id = $1 AND ($2::text IS NULL OR d.key > $2::text::jsonb) AND ($3::text IS NULL OR d.type = $3)
    AND ($4::text IS NULL OR array_to_string(ARRAY(SELECT jsonb_array_elements_text(d.key)), ', ') = $4)
    AND ($6::int IS NULL OR d.shard = $6)
ORDER BY d.key LIMIT $5"""

MENDED = "DELETE FROM worker.dead_letters WHERE run_id = $1 AND key IN (SELECT unnest($2::text[])::jsonb)"

GONE = """
DELETE FROM worker.dead_letters d USING worker.runs r
WHERE d.run_id = $1 AND d.key IN (SELECT unnest($4::text[])::jsonb) AND r.run_id = $2 AND r.token = $3"""

FORGET = "DELETE FROM worker.dead_letters WHERE run_id = $1 AND ($2::int IS NULL OR shard = $2)"

STAND_ASIDE = """
UPDATE worker.runs SET status = $2, detail = $3, ended_at = now() WHERE run_id = $1 AND attempt = 0 AND lease IS NULL"""

FOLLOW = "SELECT status, lease IS NOT NULL AND lease_until > now() AS held FROM worker.runs WHERE run_id = $1"
