"""`interlock route`: where a request would go and why, without sending it anywhere."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from interlock.cli.context import common, load_config
from interlock.cli.output import NO, Stop, say_sections, write_raw

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.store.records import StoredRecord
    from interlock.store.sqlite import Store
    from interlock.types.signals import Caller

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
MESSAGES: Final = "/v1/messages"
EMBEDDINGS: Final = "/v1/embeddings"
COUNT_TOKENS: Final = "/v1/messages/count_tokens"
PROMPT_TOKENS: Final = 4096
"""The `max_tokens` of a message that is made from --prompt: the endpoint wants one."""
HINTS: Final = {
    "lane": "The lane to use.",
    "task": "The kind of task.",
    "data-class": "The data class to raise it to.",
    "risk-tier": "The risk tier to raise it to.",
    "latency-class": "interactive, background or batch.",
    "residency": "Where its data must stay.",
    "session": "The session it belongs to.",
    "deadline-ms": "The time it may take.",
    "max-cost-usd": "What it may cost.",
}
_HOUR_NS: Final = 3_600_000_000_000


def _hints(function: Any) -> Any:
    """An option for each of the `x-interlock-` headers."""
    for name, text in reversed(HINTS.items()):
        function = click.option(f"--{name}", help=text)(function)
    return function


@click.command("route")
@common
@click.option(
    "--file", "file", type=click.File("rb"), metavar="REQ.json", help="The request's body (-: stdin)."
)
@click.option("--prompt", metavar="TEXT", help="Instead of a body: one question, to `auto`.")
@click.option("--model", metavar="NAME", help="The alias, lane or model to ask for, whatever the body says.")
@click.option(
    "--endpoint",
    type=click.Choice((CHAT, RESPONSES, MESSAGES, EMBEDDINGS, COUNT_TOKENS)),
    default=CHAT,
    help="Whose body it is.",
    show_default=True,
)
@click.option("--key", metavar="ID", help="Decide as for this key of the config; default: as an operator.")
@_hints
@click.pass_context
def command(
    ctx: click.Context,
    /,
    config_file: Path | None,
    as_json: bool,
    file: Any,
    prompt: str | None,
    model: str | None,
    endpoint: str,
    key: str | None,
    **hints: str | None,
) -> None:
    """Decide where a request would go, and say why. Nothing is sent.

    The body comes from --file, from stdin, or is made from --prompt. The decision is recorded as a
    dry run. Exits 1 where nobody may serve the request. With --json: the decision itself.
    """
    body = _with_model(_body(file, prompt, endpoint), model)
    loaded = load_config(config_file)
    headers = {
        f"x-interlock-{name.replace('_', '-')}": value for name, value in hints.items() if value is not None
    }
    stored = _decide(loaded, body, headers, endpoint, _caller(loaded, key), as_json=as_json)
    ctx.exit(0 if stored.model is not None else NO)


def _body(file: Any, prompt: str | None, endpoint: str) -> bytes:
    import msgspec

    if prompt is not None:
        if file is not None:
            raise Stop("choose one of --file and --prompt", hint="see `interlock route --help`")
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
        if endpoint == EMBEDDINGS:
            asked = {"input": prompt}
        elif endpoint == MESSAGES:
            asked["max_tokens"] = PROMPT_TOKENS
        return msgspec.json.encode({"model": "auto", **asked})
    if file is None and sys.stdin.isatty():
        raise Stop("there is no request", hint="name one with --file or --prompt, or send it to stdin")
    data: bytes = (file or sys.stdin.buffer).read()
    return data


def _with_model(body: bytes, model: str | None) -> bytes:
    import msgspec

    from interlock.wire.json import check_body

    check_body(body)
    if model is None:
        return body
    return msgspec.json.encode({**msgspec.json.decode(body), "model": model})


def _caller(loaded: "Loaded", key: str | None) -> "Caller":
    from interlock.types.signals import Caller

    if key is None:
        return Caller(role="operator")
    for known in loaded.config.keys:
        if known.caller.key == key:
            return known.caller
    names = ", ".join(f"`{known.caller.key}`" for known in loaded.config.keys) or "none"
    raise Stop(f"the config has no key `{key}`", where="--key", hint=f"it has {names}")


def _decide(
    loaded: "Loaded",
    body: bytes,
    headers: Mapping[str, str],
    endpoint: str,
    caller: "Caller",
    *,
    as_json: bool,
) -> "StoredRecord":
    """Decide, record, show."""
    from interlock.cli.explain import explain
    from interlock.release.past import Past
    from interlock.server.records import to_record
    from interlock.wiring import open_store

    store = open_store(loaded)
    try:
        stored = _dry_run(loaded, store, body, headers, endpoint, caller)
        store.put_record(stored).result()
        if as_json:
            write_raw(stored.decision)
        else:
            record = to_record(stored)
            say_sections(explain(record, stands_for=Past(store).stands_for(record.decision)))
        return stored
    finally:
        store.close()


def _dry_run(
    loaded: "Loaded",
    store: "Store",
    body: bytes,
    headers: Mapping[str, str],
    endpoint: str,
    caller: "Caller",
) -> "StoredRecord":
    """The same steps as a running gateway's, with the clock and randomness of this process."""
    from interlock.classify import classify
    from interlock.dialects import ENDPOINTS
    from interlock.resilience.health import Health
    from interlock.route.decide import decide
    from interlock.server.earlier import going_on, recall
    from interlock.server.ids import Clock, draw, fresh_name
    from interlock.server.judge import stricter
    from interlock.server.records import to_row
    from interlock.server.state import make_state
    from interlock.wiring import put_world, world_of

    world = world_of(store)
    state = make_state(loaded.config, loaded.secrets, world, b"", Health())  # nobody authenticates against it
    put_world(store, state.world_hash, world)
    nanoseconds = time.time_ns()
    now = nanoseconds // 1000
    decode = ENDPOINTS[endpoint].decode_request
    request = decode(body, headers)
    known, keeping = None, request.keeping
    if keeping is not None and (keeping.previous is not None or keeping.refers):
        earlier = recall(store, caller, loaded.config, body, keeping, now)
        request, known = going_on(decode(earlier.body, headers), earlier, keeping), earlier.data_class
    session = request.hints.session
    if session is not None:
        known = stricter(known, store.session_class(caller.tenant, session, now))
    signals = classify(
        request,
        caller,
        loaded.config,
        endpoint=endpoint,
        hour_utc=nanoseconds // _HOUR_NS % 24,
        session_class=known,
        cannot_carry=state.cannot_carry(request),
    )
    name = f"dec_{fresh_name()}"
    decision = decide(
        id=name,
        now=Clock().at(nanoseconds),
        signals=signals,
        snapshot=state.setting.snapshot,
        world=world,
        world_hash=state.world_hash,
        draw=draw(caller.tenant, session if session is not None else name),
    )
    return to_row(decision, "dry_run")
