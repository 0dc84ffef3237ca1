-- Samples in the order they came. No index: at ten rows a second an index would cost more of the card than all reading saves.
CREATE TABLE samples (
    n       INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    device  TEXT NOT NULL,
    point   TEXT NOT NULL,
    value   ANY,
    quality TEXT NOT NULL
) STRICT;
