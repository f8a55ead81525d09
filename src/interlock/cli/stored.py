"""Records read back from the store."""

from interlock.cli.output import Stop
from interlock.store.records import StoredRecord
from interlock.store.sqlite import Store


def find(store: Store, decision_id: str) -> StoredRecord:
    """One record. Raises Stop where there is none."""
    stored = store.get_record(decision_id)
    if stored is None:
        raise Stop("there is no record of this decision", where=decision_id, hint="see `interlock decisions`")
    return stored
