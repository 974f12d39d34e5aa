-- The console's pages of runs, in one status: a status changes when an attempt begins and when it ends, never with a page commit.

CREATE INDEX runs_by_status ON worker.runs (status, created_at DESC);
