-- All times are microseconds since the epoch, UTC.

-- One row per request. `decision` is the very bytes that were decided; `rest` is the JSON of the
-- other fields of the record. `seq` is the order of arrival.
CREATE TABLE records (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT,
  team TEXT,
  status TEXT NOT NULL,
  alias TEXT,
  alias_version INTEGER,
  provider TEXT,
  model TEXT,
  lane TEXT,
  config_hash TEXT NOT NULL,
  world_hash TEXT NOT NULL,
  session TEXT,
  decision BLOB NOT NULL,
  rest BLOB NOT NULL,
  outcome BLOB
) STRICT;

-- Newest first, for everybody. Tenant and key ride along so that a filter by them is answered
-- from this index: one index per filter would double what a record costs to write.
CREATE INDEX records_by_time ON records (created_at, seq, tenant, key);

-- `body` is compressed (zlib). A row is never changed or deleted: records name it by hash.
CREATE TABLE configs (
  hash TEXT PRIMARY KEY,
  first_seen INTEGER NOT NULL,
  body BLOB NOT NULL,
  policy_hash TEXT NOT NULL,
  by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE worlds (
  hash TEXT PRIMARY KEY,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE aliases (
  alias TEXT PRIMARY KEY,
  active INTEGER NOT NULL,
  FOREIGN KEY (alias, active) REFERENCES alias_versions (alias, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias_versions (
  alias TEXT NOT NULL,
  version INTEGER NOT NULL,
  model TEXT NOT NULL,
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  reason TEXT,
  gate TEXT,
  override TEXT,
  PRIMARY KEY (alias, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias_moves (
  seq INTEGER PRIMARY KEY,
  alias TEXT NOT NULL,
  from_version INTEGER,
  to_version INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('seed', 'promote', 'rollback')),
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  reason TEXT
) STRICT;

CREATE INDEX alias_moves_by_alias ON alias_moves (alias, seq);

-- `data_class` is the rank of the label, so that the stricter one is the greater one.
CREATE TABLE sessions (
  tenant TEXT NOT NULL,
  session TEXT NOT NULL,
  data_class INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Hash-chained: each entry holds the hash of the one before. The head says where the chain ends,
-- so that entries missing from the end are missed.
CREATE TABLE control_log (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  body TEXT NOT NULL,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TABLE control_head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER alias_versions_keep BEFORE UPDATE ON alias_versions
BEGIN SELECT RAISE(ABORT, 'alias_versions is append-only'); END;
CREATE TRIGGER alias_versions_stay BEFORE DELETE ON alias_versions
BEGIN SELECT RAISE(ABORT, 'alias_versions is append-only'); END;
CREATE TRIGGER alias_moves_keep BEFORE UPDATE ON alias_moves
BEGIN SELECT RAISE(ABORT, 'alias_moves is append-only'); END;
CREATE TRIGGER alias_moves_stay BEFORE DELETE ON alias_moves
BEGIN SELECT RAISE(ABORT, 'alias_moves is append-only'); END;
CREATE TRIGGER control_log_keep BEFORE UPDATE ON control_log
BEGIN SELECT RAISE(ABORT, 'control_log is append-only'); END;
CREATE TRIGGER control_log_stay BEFORE DELETE ON control_log
BEGIN SELECT RAISE(ABORT, 'control_log is append-only'); END;
