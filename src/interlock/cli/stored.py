"""Records, and the configs and worlds they were decided under, read back from the store."""

import msgspec

from interlock.cli.output import Stop
from interlock.config.checked import Config
from interlock.config.checked import decode as decode_config
from interlock.route.ask import model_of
from interlock.route.snapshot import Snapshot, snapshot
from interlock.store.records import StoredRecord
from interlock.store.sqlite import Store
from interlock.types.decision import Decision
from interlock.types.world import World


def find(store: Store, decision_id: str) -> StoredRecord:
    """One record. Raises Stop where there is none."""
    stored = store.get_record(decision_id)
    if stored is None:
        raise Stop("there is no record of this decision", where=decision_id, hint="see `interlock decisions`")
    return stored


class Past:
    """The configs and worlds of recorded decisions, each read and prepared once. None: not in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: dict[str, Snapshot | None] = {}
        self._worlds: dict[str, World | None] = {}

    def snapshot(self, decision: Decision) -> Snapshot | None:
        """The config that a decision was made under, prepared for deciding."""
        name = decision.provenance.config_hash
        if name not in self._snapshots:
            body = self._store.get_config(name)
            self._snapshots[name] = None if body is None else snapshot(decode_config(body))
        return self._snapshots[name]

    def config(self, decision: Decision) -> Config | None:
        found = self.snapshot(decision)
        return None if found is None else found.config

    def world(self, decision: Decision) -> World | None:
        """The world that a decision was made in."""
        name = decision.provenance.world_hash
        if name not in self._worlds:
            body = self._store.get_world(name)
            self._worlds[name] = None if body is None else msgspec.json.decode(body, type=World)
        return self._worlds[name]

    def stands_for(self, decision: Decision) -> str | None:
        """The model that the name asked for stood for then; None where that is not known, or was a lane."""
        found, world, asked = self.snapshot(decision), self.world(decision), decision.signals.model
        if found is None or world is None:
            return None
        if asked == "auto" and decision.why.selected_by == "default":
            asked = found.config.default_model or asked
        return model_of(asked, found, world)
