-- Payments for poll-payments: `seed.records` of them are processing, which is what a run reads; one more in 21 has succeeded,
-- so that a run that forgets its WHERE reads too many. The same each time, but for created_at, which ends now.
CREATE TABLE IF NOT EXISTS payments (
    id           bigint PRIMARY KEY,
    merchant_id  bigint NOT NULL,
    provider_ref text NOT NULL,
    status       text NOT NULL,
    amount_cents bigint NOT NULL,
    currency     text NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    checked_at   timestamptz
);

INSERT INTO payments
SELECT id,
       1 + id % 100,
       'pi_' || left(md5('payment ' || id), 24),
       CASE WHEN succeeded THEN 'succeeded' ELSE 'processing' END,
       500 + id * 7919 % 49500,
       (ARRAY['eur', 'usd', 'gbp'])[1 + id % 3],
       created_at,
       created_at,
       CASE WHEN succeeded THEN created_at + interval '10 minutes' END
FROM (SELECT current_setting('seed.records')::bigint * 21 / 20 AS total) AS seed,
     generate_series(1, total) AS id,
     LATERAL (SELECT id % 21 = 0 AS succeeded,
                     now() - interval '3 days' * (total - id + 1) / total - interval '10 minutes' AS created_at) AS told
ON CONFLICT (id) DO NOTHING;

-- What a page is read by: WHERE status = 'processing' AND id > … ORDER BY id LIMIT …
CREATE INDEX IF NOT EXISTS payments_processing ON payments (id) WHERE status = 'processing';

ANALYZE payments;
