-- Shards: each is a run of its own, whose parent names the run that they are parts of (docs/adr/0008-shards.md).

ALTER TABLE worker.runs
    ADD COLUMN parent text REFERENCES worker.runs ON DELETE CASCADE,    -- of a shard: the run
    ADD COLUMN shard integer,                   -- of a shard: its number, from 1
    ADD COLUMN shards integer,                  -- of a run: how many it has; NULL where it has none
    ADD COLUMN bounds jsonb,                    -- of a run: the keys that divide it, frozen
    ADD COLUMN open_shards integer[],           -- of a run: those that have not ended
    ADD COLUMN untold integer,                  -- of a run: the shard that ended last and has not yet told so
    ADD COLUMN summed jsonb NOT NULL DEFAULT '{}',      -- of a run: the sum of its shards' tallies when it was last closed
    ADD COLUMN worked boolean NOT NULL DEFAULT false;   -- of a shard: its last page is committed, none of its records failed

ALTER TABLE worker.dead_letters ADD COLUMN shard integer;   -- kept with the run, not with the shard

CREATE UNIQUE INDEX runs_by_parent ON worker.runs (parent, shard) WHERE parent IS NOT NULL;
