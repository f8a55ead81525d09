-- Scores of answers under a rollout: of its arms' live answers, and of copies. `decision` is the live request's.
-- `score` NULL: the grader had something to say and could not. `live` is the score of the live answer beside a copy.
CREATE TABLE rollout_grades (
  seq INTEGER PRIMARY KEY,
  rollout TEXT NOT NULL,
  at INTEGER NOT NULL,
  decision TEXT NOT NULL,
  arm TEXT NOT NULL CHECK (arm IN ('stable', 'canary', 'shadow')),
  grader TEXT NOT NULL,
  score REAL,
  live REAL
) STRICT;

CREATE INDEX rollout_grades_of ON rollout_grades (rollout, seq);
CREATE INDEX rollout_grades_at ON rollout_grades (at);

-- What became of copies, by rollout: how many, and what they cost.
CREATE TABLE shadow_counts (
  rollout TEXT NOT NULL,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (rollout, name)
) STRICT, WITHOUT ROWID;

-- What webhooks are told, in the order in which it happened. `data` is JSON, and holds nothing of anybody's requests.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;

-- How far each webhook has been told: everything up to `seq`. What follows has been tried so often, and is tried again
-- at `next_at`.
CREATE TABLE webhooks (
  name TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
