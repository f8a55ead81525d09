-- Staged changes of aliases. `plan`, `progress`, `findings` and `evidence` are JSON. `rev` counts the changes: whoever
-- writes names the one it saw.
CREATE TABLE rollouts (
  id TEXT PRIMARY KEY,
  alias TEXT NOT NULL,
  from_version INTEGER NOT NULL,
  to_version INTEGER NOT NULL,
  candidate TEXT NOT NULL,
  plan TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'promoted', 'aborted')),
  progress TEXT NOT NULL,
  findings TEXT NOT NULL,
  evidence TEXT,
  by TEXT NOT NULL,
  reason TEXT,
  started_at INTEGER NOT NULL,
  rev INTEGER NOT NULL,
  FOREIGN KEY (alias, from_version) REFERENCES alias_versions (alias, version),
  FOREIGN KEY (alias, to_version) REFERENCES alias_versions (alias, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX rollouts_one_of_an_alias ON rollouts (alias) WHERE state IN ('running', 'paused');

-- Who may act for all. `token` grows with each new holder: what an old one still wants to write is refused.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  token INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Only records with feedback are in it, so that it costs the others nothing.
CREATE INDEX records_with_outcome ON records (alias, created_at) WHERE outcome IS NOT NULL;
