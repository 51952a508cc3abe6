"""The tables of a journal, as a list of migrations.

`LINE_TABLE` shows how a line is stored. The other tables are in migration 2 and later ones.

A journal is updated when it is opened for writing. Its `user_version` is the number of migrations
that were applied to it. A published migration never changes, not even in a comment: `integrity`
compares the text of each table.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

from .first_version import FIRST_VERSION

#: In the header of every journal, so that no other SQLite file is taken for one ("KAPA").
APPLICATION_ID = 0x4B415041

#: Columns with another name than in the code. A migration that only renames is not worth its risk.
CHANGES, READ_FIRST, ROLLED_BACK_BY, SECOND_STEP = "did", "look", "taken_back_by", "further"
#: The expression of the column `seal`, by table: a copy of all other columns. Part of published
#: migrations, so it never changes.
SEALS = {
    "tally": (
        "nonce * 3 + lines * 5 + weight * 7 + changes * 11 + generation * 13 + writing * 17 + reserved * 19"
    ),
    "run": (
        "printf('%s|%s|%s|%s|%d|%d|%d|%s|%s|%d|%s|%d|%d|%s|%d', run_id, kind, manifest, digest, created_at * "
        "4194304, lines, attach, parent, base_url, looked_at * 4194304, taken_back_by, preflight, thorough, "
        "organization, confirmed_at * 4194304)"
    ),
    "line": (
        "printf('%s|%s|%d|%s|%d|%s|%d|%s|%s|%d|%s|%s|%d|%d', machine_id, found, look, step, state, status, "
        "did, code, detail, attempts, request_id, task, sent_at * 4194304, finished_at * 4194304)"
    ),
    "second": ("printf('%d|%d|%d|%d|%d', at, requests, rate_limited, failed, permitted)"),
    "wait": ("printf('%d|%d|%s', since * 4194304, until * 4194304, reason)"),
    "session": (
        "printf('%d|%d|%d|%s|%s|%d|%d', number, started_at * 4194304, finished_at * 4194304, ended, reason, "
        "elapsed * 4194304, period * 4194304)"
    ),
    "latency": ("printf('%d|%s|%d', since * 4194304, buckets, waited * 4194304)"),
    "sharing": ("printf('%d|%s|%s|%s', session, place, process, run)"),
    "preflight_time": ("printf('%d|%d', since * 4194304, elapsed * 4194304)"),
}
#: The tables whose rows count in `tally`, each with the first version in which they do.
TALLIED = {
    "run": 2,
    "line": 2,
    "second": 2,
    "wait": 2,
    "session": 2,
    "latency": 2,
    "sharing": 4,
    "preflight_time": 5,
}


def tallied(version: int) -> list[str]:
    """Return the tables that count in the tally of a file of this version."""
    return [table for table, since in TALLIED.items() if since <= version]


def weight_of(version: int) -> str:
    """Return an SQL expression: the sum of the weights of all rows of a file of this version."""
    return " + ".join(f"(SELECT coalesce(sum(weight), 0) FROM {table})" for table in tallied(version))


#: The tally of a journal whose lines are complete.
FIRST_TALLY = f"""
    INSERT INTO tally (only, nonce, lines, weight, changes, generation, writing, reserved)
        SELECT 1, random() & 281474976710655, lines, {weight_of(2)}, 0, 0, 0, 0 FROM run;
"""


def _counting(table: str) -> str:
    """Return the triggers that update `tally` when a row changes.

    Rows are never deleted. Runs and lines are inserted only before FIRST_TALLY. So these need no
    triggers.
    """
    triggers = f"""
    CREATE TRIGGER {table}_changed AFTER UPDATE ON {table} BEGIN
        UPDATE tally SET changes = changes + 1, weight = weight - old.weight + new.weight;
    END;
    """
    if table in ("run", "line"):
        return triggers
    return f"""{triggers}
    CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN
        UPDATE tally SET changes = changes + 1, weight = weight + new.weight;
    END;
    """


def origin_of(
    number: int, disk: str, virtual_machine: str, second_step: int, note: str | None, item: str | None = None
) -> int:
    """Return the checksum of a line of a manifest."""
    said = f"{number}|{disk}|{virtual_machine}|{second_step:d}|{'' if note is None else note}"
    if item is not None:
        said = f"{said}|{item}"
    return zlib.crc32(said.encode("utf-8", "surrogatepass"))


#: How a line is stored. Migration 3 adds the column `item`. `records.LineRecord` explains the
#: columns. `queries_lines.RECORD_OUTCOME` writes what a line has become.
LINE_TABLE = f"""CREATE TABLE line (
        number INTEGER PRIMARY KEY,
        disk TEXT NOT NULL,
        virtual_machine TEXT NOT NULL,
        machine_id TEXT,                    -- of a machine that is named by its FQDN, once it is known
        further INTEGER NOT NULL,           -- whether the second step of its run is wanted, too
        note TEXT,
        origin INTEGER NOT NULL,            -- checksum of what the manifest says
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
        finished_at REAL,
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["line"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (origin + number * 40503 + state * 97 + did * 1009 + attempts * 10007 + look * 5 + length(seal) * 13
                + unicode(status) * 11 + coalesce(CAST(sent_at * 4194304 AS INTEGER), 0) * 5
                + coalesce(CAST(finished_at * 4194304 AS INTEGER), 0) * 3) & 4294967295
        ) VIRTUAL
    )"""


MIGRATIONS: tuple[str, ...] = (
    # 1: runs, lines and the timeline. Obsolete: migration 2 replaces each of these tables.
    FIRST_VERSION,
    # 2: the options of a run, and the columns that show lost or changed rows (see `integrity`).
    #
    # seal: a second copy of the columns of a row. It shows a changed value.
    # weight: a checksum of a row. `tally` has the sum of all weights, which shows a missing row and
    # a row from an earlier time.
    # SQLite computes both, without the interpreter's lock. Times are multiplied by 2^22, which is
    # exact, because versions of SQLite format floating-point numbers differently.
    f"""
    CREATE TABLE tally (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        nonce INTEGER NOT NULL,             -- of this run: another run's pages have another one
        lines INTEGER NOT NULL,
        weight INTEGER NOT NULL,            -- of all rows together
        changes INTEGER NOT NULL,           -- to rows, ever
        generation INTEGER NOT NULL,        -- how often it was opened for writing
        writing INTEGER NOT NULL,           -- whether it is open for writing, or its process was killed
        reserved INTEGER NOT NULL,          -- the least size of the write-ahead log meanwhile (bytes)
        seal INTEGER NOT NULL GENERATED ALWAYS AS (
            {SEALS["tally"]}
        ) STORED
    );
    ALTER TABLE run RENAME TO old_run;
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
        taken_back_by TEXT,                 -- the rollback of this run, which cannot be resumed
        preflight INTEGER NOT NULL DEFAULT 0,   -- whether one was asked for
        thorough INTEGER NOT NULL DEFAULT 0,
        organization TEXT,
        confirmed_at REAL,                  -- when somebody agreed to its changes
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["run"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (length(seal) * 3 + coalesce(CAST(looked_at * 4194304 AS INTEGER), 0) * 5
                + coalesce(CAST(confirmed_at * 4194304 AS INTEGER), 0) * 7) & 4294967295
        ) VIRTUAL
    );
    INSERT INTO run (only, run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, looked_at,
            taken_back_by, confirmed_at)
        SELECT only, run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, looked_at,
            taken_back_by, CASE WHEN kind = 'rollback' OR EXISTS (SELECT 1 FROM session) THEN created_at END
        FROM old_run;
    DROP TABLE old_run;
    ALTER TABLE line RENAME TO old_line;
    {LINE_TABLE};
    INSERT INTO line (number, disk, virtual_machine, machine_id, further, note, origin, found, look, step, state, status,
            did, code, detail, attempts, request_id, task, sent_at, finished_at)
        SELECT number, disk, virtual_machine, machine_id, further, note,
            origin_of(number, disk, virtual_machine, further, note), found, look, step, state, status, did, code, detail,
            attempts, request_id, task, sent_at, finished_at
        FROM old_line;
    DROP TABLE old_line;
    CREATE INDEX line_machine ON line (coalesce(machine_id, virtual_machine));
    ALTER TABLE second RENAME TO old_second;
    CREATE TABLE second (
        at INTEGER PRIMARY KEY,
        requests INTEGER NOT NULL,
        rate_limited INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        permitted INTEGER,
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["second"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (at * 7 + requests * 1009 + rate_limited * 10007 + failed * 40503 + coalesce(permitted, 0) * 3) & 4294967295
        ) VIRTUAL
    );
    INSERT INTO second (at, requests, rate_limited, failed, permitted)
        SELECT at, requests, rate_limited, failed, permitted FROM old_second;
    DROP TABLE old_second;
    ALTER TABLE wait RENAME TO old_wait;
    CREATE TABLE wait (
        since REAL NOT NULL,
        until REAL NOT NULL,
        reason TEXT NOT NULL,
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["wait"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (CAST(since * 4194304 AS INTEGER) * 3 + CAST(until * 4194304 AS INTEGER) * 5 + length(reason)) & 4294967295
        ) VIRTUAL
    );
    INSERT INTO wait (since, until, reason) SELECT since, until, reason FROM old_wait;
    DROP TABLE old_wait;
    ALTER TABLE session RENAME TO old_session;
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        started_at REAL NOT NULL,
        finished_at REAL,
        ended TEXT,
        reason TEXT,
        elapsed REAL,                       -- seconds of the monotonic clock, so far
        period REAL NOT NULL DEFAULT 60.0,  -- length of the rate limit's window, in seconds
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["session"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (number * 40503 + CAST(started_at * 4194304 AS INTEGER) * 3
                + coalesce(CAST(finished_at * 4194304 AS INTEGER), 0) * 5
                + coalesce(CAST(elapsed * 4194304 AS INTEGER), 0) * 7 + CAST(period * 4194304 AS INTEGER) * 11
                + coalesce(length(ended), 0)) & 4294967295
        ) VIRTUAL
    );
    INSERT INTO session (number, started_at, finished_at, ended, reason)
        SELECT number, started_at, finished_at, ended, reason FROM old_session;
    DROP TABLE old_session;
    CREATE TABLE latency (
        since REAL PRIMARY KEY,             -- when a preflight or a session began to count
        buckets TEXT NOT NULL,              -- JSON: [[bucket, count], ...]
        waited REAL NOT NULL,               -- seconds of waiting for permits
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["latency"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (CAST(since * 4194304 AS INTEGER) * 3 + CAST(waited * 4194304 AS INTEGER) * 5 + length(buckets)) & 4294967295
        ) VIRTUAL
    );
    """
    + FIRST_TALLY
    + "".join(_counting(table) for table in tallied(2)),
    # 3: runs of any action. `run.kind` has the name of the action. `origin` includes the item.
    "ALTER TABLE line ADD COLUMN item TEXT",
    # 4: the processes that share the rate limit with each session.
    f"""
    CREATE TABLE sharing (
        session INTEGER NOT NULL,
        place TEXT NOT NULL,                -- of the budget, '' for none
        process TEXT NOT NULL,              -- another one that shares it, '' for none so far
        run TEXT NOT NULL,                  -- that it executes, '' for none
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["sharing"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (session * 40503 + length(place) * 3 + length(process) * 1009 + length(run) * 10007) & 4294967295
        ) VIRTUAL,
        UNIQUE (session, place, process, run)
    );
    """
    + _counting("sharing"),
    # 5: how long each preflight took.
    f"""
    CREATE TABLE preflight_time (
        since REAL PRIMARY KEY,             -- when it began
        elapsed REAL NOT NULL,              -- seconds of the monotonic clock
        seal TEXT NOT NULL GENERATED ALWAYS AS (
            {SEALS["preflight_time"]}
        ) STORED,
        weight INTEGER GENERATED ALWAYS AS (
            (CAST(since * 4194304 AS INTEGER) * 3 + CAST(elapsed * 4194304 AS INTEGER) * 5) & 4294967295
        ) VIRTUAL
    );
    """
    + _counting("preflight_time"),
)
#: The prefix of `run.kind` in a run of any action, before the name of the action.
ACTION_KIND = "action:"
VERSION = len(MIGRATIONS)
#: A line's machine: its ID, or the name in the manifest if the ID is not known.
MACHINE = "coalesce(machine_id, virtual_machine)"


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Apply the migrations that were not applied to a file, each in its own transaction."""
    connection.create_function("origin_of", -1, origin_of, deterministic=True)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
