-- Samples by the block: one row of a few pages for some minutes, where single rows cost the card thirty times as much.
-- What lay in single rows goes: telemetry may be dropped at any time.
DROP TABLE samples;

CREATE TABLE blocks (
    n       INTEGER PRIMARY KEY,
    since   INTEGER NOT NULL,         -- instants of the first and the last sample
    until   INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    body    BLOB NOT NULL             -- see telemetry.py, encode
) STRICT;
