"""What is seen of what is active, as it is answered: over HTTP and by the command line."""

from functools import partial
from typing import Any, Final

import msgspec

from interlock.errors import ApiError
from interlock.release.afterwards import Duty
from interlock.rollout.watch import blank_of
from interlock.store import alerts, watches
from interlock.store.alerts import Heard
from interlock.store.aliases import rfc3339
from interlock.store.sqlite import Store

LAST: Final = 10
"""So many alerts are shown with an alias."""


def shown(store: Store, alias: str, duty: Duty | None) -> dict[str, Any]:
    """What is watched of an alias and what was seen, with its last alerts. `duty` None: nothing is watched.

    Reads the store, so it blocks. Raises ApiError: not_found.
    """
    state = store.aliases().get(alias)
    if state is None:
        raise ApiError("not_found", f"there is no alias `{alias}`", param="alias")
    watch = store.read(partial(watches.find, alias=alias, version=state.active))
    run = store.read(partial(watches.again, alias=alias))
    heard = store.read(partial(alerts.newest, below=None, most=LAST, alias=alias))
    findings = watch.after.findings if watch is not None else ()
    checks = duty.guardrails if duty is not None else ()
    return {
        "alias": alias,
        "version": state.active,
        "model": state.model,
        "requests": watch.after.requests if watch is not None else 0,
        "baseline": duty.written.baseline if duty is not None else None,
        "on_breach": duty.written.on_breach if duty is not None else None,
        "guardrails": msgspec.to_builtins(findings or tuple(map(blank_of, checks))),
        "gate": None
        if run is None
        else {
            "version": run.version,
            "began_at": rfc3339(run.began),
            "ended_at": None if run.ended is None else rfc3339(run.ended),
            "verdict": run.verdict,
            "why": run.why,
            "record": run.record,
        },
        "alerts": [as_json(one) for one in heard],
    }


def as_json(heard: Heard) -> dict[str, Any]:
    """An alert as it is answered."""
    return {"id": heard.seq, "at": rfc3339(heard.at), **msgspec.to_builtins(heard.alert)}
