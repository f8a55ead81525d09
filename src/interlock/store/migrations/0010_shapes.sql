-- What records have in common, by the hash of `body` (SHA-256 in URL-safe base64): JSON with holes, a zero byte for each.
-- A record's `decision` or `rest` that is a JSON list holds the hash of its shape and then what fills the holes, in order;
-- one that is an object is the JSON itself. A row is never changed or deleted, as records name it by hash: so nothing
-- that a caller has said may stand in one.
CREATE TABLE shapes (
  hash TEXT PRIMARY KEY,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER shapes_keep BEFORE UPDATE ON shapes
BEGIN SELECT RAISE(ABORT, 'shapes is append-only'); END;
CREATE TRIGGER shapes_stay BEFORE DELETE ON shapes
BEGIN SELECT RAISE(ABORT, 'shapes is append-only'); END;
