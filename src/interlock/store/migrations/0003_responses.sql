-- Answers that callers may ask for again and go on from, until they are as old as records may get.
-- `input` is what this turn added (JSON list of items), `body` the response as the caller was given it;
-- `previous` is the response that it follows. `data_class` is the rank of the label; `residency` a JSON list.
CREATE TABLE responses (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  key TEXT,
  previous TEXT,
  data_class INTEGER NOT NULL,
  residency TEXT NOT NULL,
  input BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;

CREATE INDEX responses_by_time ON responses (created_at);
