-- What the caller of an answer did within minutes: asked the same again, or edited what it had asked.
ALTER TABLE records ADD COLUMN noticed TEXT CHECK (noticed IN ('reask', 'edit'));

CREATE INDEX records_noticed ON records (alias, created_at) WHERE noticed IS NOT NULL;

-- What guardrails have seen of a version of an alias since it was released: JSON, see `rollout.after`. `rev` counts the
-- changes: whoever writes names the one it saw.
CREATE TABLE watches (
  alias TEXT NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  rev INTEGER NOT NULL,
  PRIMARY KEY (alias, version),
  FOREIGN KEY (alias, version) REFERENCES alias_versions (alias, version)
) STRICT, WITHOUT ROWID;

-- Runs of gates over what is active, one of an alias at a time. `run` names the samples of this run; `record` is the
-- gate's record that it left, `handled` whether somebody has acted on it.
CREATE TABLE gates_again (
  alias TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  run TEXT NOT NULL,
  began INTEGER NOT NULL,
  ended INTEGER,
  record TEXT,
  verdict TEXT,
  why TEXT,
  handled INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What an operator should hear of, in order. Whoever delivers them remembers the last number it has seen.
CREATE TABLE alerts (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  alias TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
