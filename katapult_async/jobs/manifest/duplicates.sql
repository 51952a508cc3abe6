-- Which disks a manifest has listed so far. See duplicates.py.

-- name: make
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000; -- KiB
CREATE TABLE seen (disk TEXT PRIMARY KEY, line INTEGER, machine TEXT) WITHOUT ROWID;
BEGIN;

-- name: add
INSERT OR IGNORE INTO seen (disk, line, machine) VALUES (:disk, :number, :virtual_machine);

-- name: first
SELECT line, machine FROM seen WHERE disk = :disk;
