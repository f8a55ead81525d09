-- By which names of theirs items of kept answers are referred to: those that a vendor has given. The names of all others
-- lead to their response by themselves. Gone with their response; a vendor may give the same name twice.
CREATE TABLE response_items (
  tenant TEXT NOT NULL,
  item TEXT NOT NULL,
  response INTEGER NOT NULL REFERENCES responses (seq) ON DELETE CASCADE,
  PRIMARY KEY (tenant, item, response)
) STRICT, WITHOUT ROWID;

CREATE INDEX response_items_of ON response_items (response);
