-- Rate limits that several tasks share: one small ledger each (docs/adr/0011-shared-rates.md).

CREATE TABLE worker.portions (
    name   text PRIMARY KEY,                -- the limit's
    ledger jsonb NOT NULL DEFAULT '{}',     -- who holds how much of it, and what was taken of the rest (worker/portions.py)
    at     timestamptz NOT NULL DEFAULT now()
);
