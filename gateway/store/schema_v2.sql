-- Version 2: who looked and who commanded, and closed alerts by age.

CREATE TABLE audit (                  -- what was done to the gateway itself, and who read about a person
    n     INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    who   TEXT NOT NULL,
    verb  TEXT NOT NULL,
    about TEXT NOT NULL,              -- never a person: of one, the number of the key
    sum   INTEGER NOT NULL
) STRICT;

CREATE INDEX closed_age ON state (n) WHERE kind = 'closed';
