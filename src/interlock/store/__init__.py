"""The durable memory: records, configs, aliases and the control log, in one SQLite file. `sqlite.Store` is the way in.

Several processes may open the same file; in each of them one thread writes (`writer.Writer`).
A store must be opened after a fork, never carried across one.
"""
