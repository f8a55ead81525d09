-- Each time another config began to run here; one that comes again is another revision. `text` is the file as it was
-- written, compressed (zlib), and `text_hash` its hash; null where a key stood in it.
CREATE TABLE config_revisions (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  hash TEXT NOT NULL REFERENCES configs (hash),
  kind TEXT NOT NULL CHECK (kind IN ('start', 'reload', 'rollback')),
  by TEXT NOT NULL,
  reason TEXT,
  text BLOB,
  text_hash TEXT
) STRICT;

-- What a revision would have changed of the traffic before it (JSON), where that was computed.
CREATE TABLE config_effects (
  number INTEGER PRIMARY KEY REFERENCES config_revisions (number),
  body TEXT NOT NULL
) STRICT;

-- Those that ran before revisions were kept; their files are not known.
INSERT INTO config_revisions (at, hash, kind, by)
SELECT first_seen, hash, 'start', by FROM configs WHERE by <> 'eval' ORDER BY first_seen, hash;

CREATE TRIGGER config_revisions_keep BEFORE UPDATE ON config_revisions
BEGIN SELECT RAISE(ABORT, 'config_revisions is append-only'); END;
CREATE TRIGGER config_revisions_stay BEFORE DELETE ON config_revisions
BEGIN SELECT RAISE(ABORT, 'config_revisions is append-only'); END;
CREATE TRIGGER config_effects_keep BEFORE UPDATE ON config_effects
BEGIN SELECT RAISE(ABORT, 'config_effects is append-only'); END;
CREATE TRIGGER config_effects_stay BEFORE DELETE ON config_effects
BEGIN SELECT RAISE(ABORT, 'config_effects is append-only'); END;
