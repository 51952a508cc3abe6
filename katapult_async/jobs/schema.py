"""The journal's tables, version by version. A file is brought up to date when it is opened for writing.

`user_version` is the number of the migrations that a file has had. One that is published is never changed again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

#: In the header of every journal, so that no other SQLite file is taken for one ("KAPA").
APPLICATION_ID = 0x4B415041

MIGRATIONS: tuple[str, ...] = (
    # 1: runs, lines, timeline.
    """
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
        taken_back_by TEXT                  -- the run that takes this one back: it is not gone on with
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
    """,
    # 2: what a run was asked to do.
    """
    ALTER TABLE run ADD COLUMN preflight INTEGER NOT NULL DEFAULT 0;    -- whether one was asked for
    ALTER TABLE run ADD COLUMN thorough INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN organization TEXT;
    ALTER TABLE run ADD COLUMN confirmed_at REAL;                       -- when somebody agreed to its changes
    UPDATE run SET confirmed_at = created_at WHERE kind = 'rollback' OR EXISTS (SELECT 1 FROM session);
    """,
    # 3: how long requests took.
    """
    CREATE TABLE latency (
        since REAL PRIMARY KEY,             -- when a preflight or a session began to count
        buckets TEXT NOT NULL,              -- JSON: [[bucket, count], ...]
        waited REAL NOT NULL                -- seconds
    );
    """,
)
VERSION = len(MIGRATIONS)
#: A line's machine: its id, or the name that the manifest has for it as long as the id is not known.
MACHINE = "coalesce(machine_id, virtual_machine)"


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Carry out the migrations that a file has not had, each in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
