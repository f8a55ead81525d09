-- What all processes count together. `series` is the text that names a metric's series.
CREATE TABLE live_counters (
  series TEXT PRIMARY KEY,
  value REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- How far somebody who reads records in the order of arrival has come. `waiting` is JSON: numbers of records that
-- were not closed yet. Counting begins with the first record after this table was made.
CREATE TABLE followers (
  name TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  waiting TEXT NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;

INSERT INTO followers (name, seq) SELECT 'metrics', coalesce(max(seq), 0) FROM records;
