-- For move-crates: `seed.records` rows are waiting, which is what a run reads, every 50th of them without a name; one row in 11
-- is ready already, so that a run that forgets its WHERE reads too many.
CREATE TABLE IF NOT EXISTS crates (
    id         bigint PRIMARY KEY,
    region     text NOT NULL,
    name       text NOT NULL,
    status     text NOT NULL,
    updated_at timestamptz NOT NULL
);

INSERT INTO crates
SELECT id,
       (ARRAY['north', 'south'])[1 + id % 2],
       CASE WHEN id % 50 = 0 THEN '' ELSE 'name ' || id END,
       CASE WHEN id % 11 = 0 THEN 'ready' ELSE 'waiting' END,
       now() - interval '1 day'
FROM (SELECT current_setting('seed.records')::bigint * 11 / 10 AS total) AS seed,
     generate_series(1, total) AS id
ON CONFLICT (id) DO NOTHING;

-- What a page is read by: WHERE status = 'waiting' AND id > … ORDER BY id LIMIT …
CREATE INDEX IF NOT EXISTS crates_waiting ON crates (id) WHERE status = 'waiting';

ANALYZE crates;
