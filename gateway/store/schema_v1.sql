-- Version 1. A schema file is never edited once released; a change is schema_v2.sql (see migrations.py).
-- "WITHOUT ROWID" where the key is the order of reading: one page less to write per commit on a memory card.
-- "sum" is rows.checksum over kind, key and body.

CREATE TABLE meta (
    key  TEXT PRIMARY KEY,            -- runs, stamp, serial, lineage
    body BLOB NOT NULL,
    sum  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
    n    INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    id   TEXT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    sum  INTEGER NOT NULL
) STRICT;

CREATE TABLE state (
    kind TEXT NOT NULL,
    key  TEXT NOT NULL,
    n    INTEGER NOT NULL,            -- serial of the commit that wrote it: "recent" for closed alerts
    body BLOB NOT NULL,
    sum  INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
    alert    TEXT NOT NULL,
    n        INTEGER NOT NULL,        -- from 1 within the alert: several notes may share a revision
    revision INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    who      TEXT,
    reason   TEXT NOT NULL,
    body     BLOB NOT NULL,
    sum      INTEGER NOT NULL,
    PRIMARY KEY (alert, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    lane     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    id       TEXT NOT NULL,
    topic    TEXT NOT NULL,
    body     BLOB NOT NULL,
    alert    TEXT NOT NULL,
    sum      INTEGER NOT NULL,
    PRIMARY KEY (lane, sequence)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX outbox_id ON outbox (id);

CREATE TABLE cursors (
    uplink   TEXT NOT NULL,
    lane     TEXT NOT NULL,           -- '' marks that the uplink exists, before anything was delivered
    sequence INTEGER NOT NULL,        -- delivered up to here
    sum      INTEGER NOT NULL,        -- a flipped bit here would skip messages: then the cursor starts over
    PRIMARY KEY (uplink, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE damaged (                -- what failed its checksum or conflicted: for a person to look at
    n      INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,             -- table it came from
    reason TEXT NOT NULL,             -- checksum | conflict
    row    BLOB NOT NULL              -- JSON of the columns, bodies in base64
) STRICT;
