"""Migration 1: the tables of the first version. Obsolete: migration 2 replaces each of them.

Kept, because a journal of the first version is updated from here. `schema` has the current tables.
"""

from __future__ import annotations

FIRST_VERSION = """
    CREATE TABLE run (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        run_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        manifest TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at REAL NOT NULL,
        lines INTEGER NOT NULL,
        attach INTEGER NOT NULL,
        parent TEXT,
        base_url TEXT,
        looked_at REAL,                     -- when the preflight was made
        taken_back_by TEXT                  -- the rollback of this run, which cannot be resumed
    );
    CREATE TABLE line (
        number INTEGER PRIMARY KEY,
        disk TEXT NOT NULL,
        virtual_machine TEXT NOT NULL,
        machine_id TEXT,                    -- of a machine that is named by its FQDN, once it is known
        further INTEGER NOT NULL,           -- whether the second step of its run is wanted, too
        note TEXT,
        found TEXT,                         -- what the preflight saw
        look INTEGER NOT NULL DEFAULT 0,    -- whether its disk is to be read before its step is sent
        step TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL DEFAULT 'waiting',
        did INTEGER NOT NULL DEFAULT 0,     -- bits: what this run has changed
        code TEXT,
        detail TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        request_id TEXT,
        task TEXT,
        sent_at REAL,
        finished_at REAL
    );
    CREATE INDEX line_machine ON line (coalesce(machine_id, virtual_machine));
    CREATE TABLE second (
        at INTEGER PRIMARY KEY,
        requests INTEGER NOT NULL,
        rate_limited INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        permitted INTEGER
    );
    CREATE TABLE wait (since REAL NOT NULL, until REAL NOT NULL, reason TEXT NOT NULL);
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        started_at REAL NOT NULL,
        finished_at REAL,
        ended TEXT,
        reason TEXT
    );
    """
