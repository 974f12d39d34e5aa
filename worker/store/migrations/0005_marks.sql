-- What reporter and auditor have said already, so that the same news is told once.

CREATE TABLE worker.marks (
    key   text PRIMARY KEY,
    value text NOT NULL,
    at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX marks_by_time ON worker.marks (at);
