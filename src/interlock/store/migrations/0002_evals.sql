-- What evals keep. A sample (or a judge's reply) is a cache with a history: it is written once under a key that
-- covers everything that could change it. `body` is compressed (zlib) JSON.
CREATE TABLE eval_samples (
  key TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  model TEXT NOT NULL,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per run of a gate. `body` is the very bytes that were signed.
CREATE TABLE gate_records (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  alias TEXT NOT NULL,
  verdict TEXT NOT NULL,
  body BLOB NOT NULL,
  signature TEXT NOT NULL
) STRICT;

CREATE INDEX gate_records_by_alias ON gate_records (alias, seq);

CREATE TRIGGER gate_records_keep BEFORE UPDATE ON gate_records
BEGIN SELECT RAISE(ABORT, 'gate_records is append-only'); END;
CREATE TRIGGER gate_records_stay BEFORE DELETE ON gate_records
BEGIN SELECT RAISE(ABORT, 'gate_records is append-only'); END;
