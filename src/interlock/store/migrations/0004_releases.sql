-- What really answers under a version: JSON of the parts of the pool's entry that decide it. Null: a version from
-- before they were kept.
ALTER TABLE alias_versions ADD COLUMN identity TEXT;
