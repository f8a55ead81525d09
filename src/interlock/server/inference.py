"""The inference endpoints: understand, decide, execute, record, answer.

The record is kept before the last bytes of an answer leave, so that no caller ever holds an
answer that the audit does not know.
"""

import asyncio
from collections.abc import Coroutine
from functools import lru_cache, partial
from typing import Any, Final

from interlock.config.checked import Config
from interlock.dialects import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Endpoint
from interlock.errors import STATUS, ApiError, ErrorCode, let_go
from interlock.execute.executor import Execution
from interlock.execute.plan import Step
from interlock.resilience.load import RETRY_S
from interlock.route.objections import WIRE_RULE
from interlock.server.case import Case
from interlock.server.exchange import COST_NOTHING, COST_UNKNOWN, Exchange
from interlock.server.gateway import Gateway
from interlock.server.http1 import Call, field
from interlock.server.ids import dollars
from interlock.server.judge import judge
from interlock.server.kept import is_kept, keep, named, response_in
from interlock.server.mirroring import look_on
from interlock.types.decision import Decision
from interlock.types.labels import LatencyClass
from interlock.types.record import Status

SSE: Final = "text/event-stream; charset=utf-8"
_NO_STORE: Final = "cache-control: no-store\r\n"


async def infer(endpoint: Endpoint, gateway: Gateway, exchange: Exchange) -> None:
    """Answer an inference call, whole or as a stream."""
    case = await decided(gateway, exchange, endpoint)
    wanted = gateway.lately.wanted and exchange.state.config.server.keep_warm
    reads = exchange.call.reads() if wanted and not case.request.stream else ()
    exchange.call.understood()
    services = gateway.services
    setting, began = exchange.state.setting, exchange.began
    request, is_mirrored = case.request, bool(gateway.mirrors.by_alias)
    if request.stream and not is_mirrored and case.asker is None:
        case = case.without_words()  # a stream may stay open for long
    execution = Execution(
        request, case.decision, setting, services, began, rest=case.request, large=case.large
    )
    del request
    gateway.load.in_flight += 1
    try:
        if case.request.stream:
            sink = Stream(exchange, case.decision)
            await guard(gateway, exchange, execution, execution.run_stream(sink))
            await _end_stream(gateway, exchange, case, execution)
        else:
            gateway.expect_record(exchange)
            await guard(gateway, exchange, execution, execution.run_whole())
            await settle(gateway, exchange, case, execution)
            if not exchange.call.gone:
                data = _encoded(endpoint, case, execution)
                kept = case.request.keeping is not None and is_kept(case)
                if kept:
                    await keep(gateway, case, data)
                # Answers that end in one turn leave together, as waking a reader is dear; one need not wait.
                exchange.answer(data, alone=gateway.load.in_flight == 1)
                if reads and not kept:
                    gateway.lately.take(reads, case, execution)
    finally:
        gateway.load.in_flight -= 1
        execution.release()
        if is_mirrored:
            look_on(gateway, exchange, case, execution)


chat: Final = partial(infer, CHAT)
messages: Final = partial(infer, MESSAGES)
responses: Final = partial(infer, RESPONSES)
embeddings: Final = partial(infer, EMBEDDINGS)


async def decided(gateway: Gateway, exchange: Exchange, endpoint: Endpoint) -> Case:
    """The request with a decision that somebody may serve. Raises ApiError where nobody may, all recorded."""
    exchange.dialect = endpoint.dialect
    case = await judge(gateway, exchange, exchange.call.body, endpoint)
    decision = case.decision
    exchange.decision = decision
    if decision.route is None:
        exchange.extra = route_headers(decision, None, 0) + COST_NOTHING
        await gateway.record(exchange, case, "denied")
        raise refusal(decision, exchange.state.config)
    if gateway.load.sheds(decision.policy.latency_class):
        await _shed(gateway, exchange, case, decision.policy.latency_class)
    if case.request.keeping is not None:
        try:
            case = named(case, exchange.name, exchange.state.config)
        except ApiError:
            exchange.extra = route_headers(decision, None, 0) + COST_NOTHING
            await gateway.record(exchange, case, "denied")
            raise
    strict = decision.policy.logging == "strict"
    if strict or gateway.unkept:
        exchange.extra = route_headers(decision, None, 0) + COST_NOTHING  # should the store fail
        gateway.store.writer.probe(exchange.began)
        # Until it has been carried out it counts as failed: a crash must not leave it open.
        await gateway.record(exchange, case, "failed", durable=strict)
    return case


async def _shed(gateway: Gateway, exchange: Exchange, case: Case, latency_class: LatencyClass) -> None:
    """Turn a request away before anything is sent, because there is too much to do."""
    execution = Execution(
        case.request, case.decision, exchange.state.setting, gateway.services, exchange.began
    )
    execution.error = ApiError(
        "overloaded",
        "there is more to do than can be done",
        hint=f"{latency_class} requests are turned away for a moment",
        retry_after_s=RETRY_S[latency_class],
    )
    await settle(gateway, exchange, case, execution)
    raise execution.error


def refusal(decision: Decision, config: Config) -> ApiError:
    """What an inference call gets for a decision that nobody may serve."""
    why = decision.why
    hint = f"`GET /v1/decisions/{decision.id}` has every reason"
    code: ErrorCode = why.denied_code if why.denied_code in STATUS else "policy_denied"
    return ApiError(
        code,
        why.denied or "no model may serve this request",
        hint=hint,
        param=_uncarried(decision, config) if code == "invalid_request" else None,
        retry_after_s=RETRY_S[decision.policy.latency_class] if code == "overloaded" else None,
        decision_id=decision.id,
    )


def _uncarried(decision: Decision, config: Config) -> str | None:
    """The first field of the request that the model which stood first has no words for."""
    first = next(iter(decision.why.dropped), None)
    model = config.models.get(first.model) if first is not None and first.rule == WIRE_RULE else None
    if model is None:
        return None
    fields = decision.signals.cannot_carry.get(config.providers[model.provider].wire)
    return fields[0] if fields else None


def _encoded(endpoint: Endpoint, case: Case, execution: Execution) -> bytes:
    """The answer as its caller reads it. Raises ApiError where there is none."""
    answer, step = execution.answer, execution.step
    if execution.error is not None or answer is None or step is None:
        raise execution.error or ApiError("internal", "the execution ended without an answer")
    return endpoint.encode_answer(answer, case.request, step.model)


async def _end_stream(gateway: Gateway, exchange: Exchange, case: Case, execution: Execution) -> None:
    try:
        await settle(gateway, exchange, case, execution)
        if is_kept(case) and exchange.call.begun and execution.error is None and not exchange.gone:
            await keep(gateway, case, response_in(execution.ending()))
    except ApiError as error:  # the record is not safe: the answer must not look finished
        let_go(error)
        execution.error = error
    if exchange.gone:
        return
    if not exchange.call.begun:
        raise execution.error or ApiError("internal", "the stream ended before it began")
    if execution.error is not None:
        execution.error.decision_id = case.decision.id
        exchange.error = execution.error.code
        exchange.call.keep_alive = False
    exchange.call.finish(execution.ending())


async def guard(
    gateway: Gateway, exchange: Exchange, execution: Execution, run: Coroutine[Any, Any, None]
) -> None:
    """Let the execution run. A caller that left, our own shutdown and a fault of ours all end it in order."""
    call = exchange.call
    if call.gone:
        run.close()
        execution.error = _cut_short(call)
        return
    call.exposed = True
    try:
        await run
    except asyncio.CancelledError:
        call.go_on()
        execution.error = _cut_short(call)
    except ApiError as error:
        let_go(error)
        execution.error = error
    except Exception as error:  # noqa: BLE001 - a stream that has begun must end with a word, and a record
        execution.error = gateway.fault(f"req_{exchange.name}", error)
    finally:
        call.exposed = False


def _cut_short(call: Call) -> ApiError:
    if call.gone:
        return ApiError("client_closed", "the caller left")
    return ApiError("overloaded", "the server is shutting down", retry_after_s=1)


def settle(
    gateway: Gateway, exchange: Exchange, case: Case, execution: Execution
) -> Coroutine[Any, Any, None]:
    """To be awaited: record how it ended, for audit and log. Nothing conclusive has been sent yet.

    A cost that is not known is said to be: a provider that failed may charge for it or not.
    """
    status: Status = execution.status
    if exchange.call.gone:
        status, exchange.status = "cancelled", 499
    tried, usd = len(execution.attempts), execution.cost_usd
    if usd is not None:
        cost = f"x-interlock-cost-usd: {dollars(usd)}\r\n"
    else:
        cost = COST_UNKNOWN if tried else COST_NOTHING
    exchange.extra = route_headers(case.decision, execution.step, tried) + cost
    return gateway.record(exchange, case, status, execution)


class Stream:
    """Where the executor puts a stream: the head once, then bytes."""

    __slots__ = ("_decision", "_exchange", "write")

    def __init__(self, exchange: Exchange, decision: Decision) -> None:
        self._exchange = exchange
        self._decision = decision
        self.write = exchange.call.write

    async def begin(self, step: Step, attempt: int) -> None:
        exchange = self._exchange
        exchange.extra = route_headers(self._decision, step, attempt) + _NO_STORE
        exchange.begin(SSE)


def route_headers(decision: Decision, step: Step | None, attempts: int) -> str:
    """The header lines of every inference answer about its decision. `step` is the model that answers."""
    route, told = decision.route, f"x-interlock-decision-id: {decision.id}\r\n"
    if route is None:
        return f"{told}x-interlock-attempts: {attempts}\r\n"
    by = route if step is None else step
    return told + _where(attempts, by.provider, by.model, route.alias, route.alias_version)


@lru_cache(maxsize=1024)
def _where(attempts: int, provider: str, model: str, alias: str | None, version: int | None) -> str:
    route = field("x-interlock-route", f"{provider}/{model}")
    named = "" if alias is None else field("x-interlock-alias", f"{alias}@{version}")
    return f"x-interlock-attempts: {attempts}\r\n{route}{named}"
