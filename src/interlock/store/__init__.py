"""The durable memory: records, configs, aliases and the control log in one SQLite file. See `Store.open`.

Several processes may open the same file; in each of them one thread writes (`writer.Writer`). A store
is opened after a fork, never carried across one.
"""

from interlock.store.aliases import AliasError as AliasError
from interlock.store.aliases import AliasHistory as AliasHistory
from interlock.store.aliases import AliasState as AliasState
from interlock.store.aliases import StaleVersion as StaleVersion
from interlock.store.aliases import TargetGone as TargetGone
from interlock.store.aliases import UnknownAlias as UnknownAlias
from interlock.store.aliases import UnknownVersion as UnknownVersion
from interlock.store.records import BadCursor as BadCursor
from interlock.store.records import StoredRecord as StoredRecord
from interlock.store.responses import StoredResponse as StoredResponse
from interlock.store.revisions import Revision as Revision
from interlock.store.revisions import StaleRevision as StaleRevision
from interlock.store.sqlite import Store as Store
from interlock.store.write import Write as Write
