"""The two inference endpoints: understand, decide, execute, record, answer.

The record is committed before the last bytes of an answer leave, so that no caller ever holds an
answer that the audit does not know.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from interlock.dialects import DIALECTS
from interlock.errors import STATUS, ApiError, ErrorCode
from interlock.execute.executor import Execution
from interlock.execute.plan import Step
from interlock.server.case import Case
from interlock.server.exchange import Exchange, Header
from interlock.server.gateway import Gateway
from interlock.server.judge import judge
from interlock.server.protocol import abort, close_after_answer
from interlock.server.records import log_facts
from interlock.server.watch import Watch
from interlock.types.decision import Decision
from interlock.types.labels import Dialect
from interlock.types.record import Status

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
DIALECT_OF: Final[dict[str, Dialect]] = {CHAT: "openai-chat", MESSAGES: "anthropic-messages"}
SSE: Final = b"text/event-stream; charset=utf-8"
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")


async def chat(gateway: Gateway, exchange: Exchange) -> None:
    await _infer(gateway, exchange, CHAT)


async def messages(gateway: Gateway, exchange: Exchange) -> None:
    await _infer(gateway, exchange, MESSAGES)


async def _infer(gateway: Gateway, exchange: Exchange, endpoint: str) -> None:
    exchange.dialect = DIALECT_OF[endpoint]
    case = await judge(gateway, exchange, await exchange.body(), endpoint, exchange.dialect)
    decision = case.decision
    exchange.decision_id = decision.id
    if decision.route is None:
        exchange.extra = [*route_headers(decision, None, 0), (b"x-interlock-cost-usd", b"0")]
        exchange.facts = log_facts(decision, "denied")
        await gateway.record(case, "denied")
        raise refusal(decision)
    if decision.policy.logging == "strict":
        # Until it has been carried out it counts as failed: a crash must not leave it open.
        await gateway.record(case, "failed", durable=True)
    services = gateway.services
    execution = Execution(case.request, decision, exchange.state.setting, services, exchange.began)
    try:
        if case.request.stream:
            await _stream(gateway, exchange, case, execution)
        else:
            await _whole(gateway, exchange, case, execution)
    finally:
        execution.release()


def refusal(decision: Decision) -> ApiError:
    """What an inference call gets for a decision that nobody may serve."""
    why = decision.why
    hint = f"`GET /v1/decisions/{decision.id}` has every reason"
    code: ErrorCode = why.denied_code if why.denied_code in STATUS else "policy_denied"
    return ApiError(
        code,
        why.denied or "no model may serve this request",
        hint=hint,
        decision_id=decision.id,
    )


async def _whole(gateway: Gateway, exchange: Exchange, case: Case, execution: Execution) -> None:
    watch = Watch(exchange.receive)
    with watch:
        await _guard(gateway, exchange, execution, execution.run_whole(), watch)
    await _settle(gateway, exchange, case, execution, gone=watch.gone)
    if watch.gone:
        return
    answer, step = execution.answer, execution.step
    if execution.error is not None or answer is None or step is None:
        raise execution.error or ApiError("internal", "the execution ended without an answer")
    await exchange.answer(DIALECTS[case.request.dialect].encode_answer(answer, case.request, step.model))


async def _stream(gateway: Gateway, exchange: Exchange, case: Case, execution: Execution) -> None:
    watch = Watch(exchange.receive)
    sink = Stream(exchange, case.decision, execution.clock)
    with watch, gateway.watched(sink, watch):
        await _guard(gateway, exchange, execution, execution.run_stream(sink), watch)
    try:
        await _settle(gateway, exchange, case, execution, gone=watch.gone)
    except ApiError as error:  # the record is not safe: the answer must not look finished
        execution.error = error
    if watch.gone:
        return
    if not sink.begun:
        raise execution.error or ApiError("internal", "the stream ended before it began")
    if execution.error is not None:
        execution.error.decision_id = case.decision.id
        exchange.facts["error"] = execution.error.code
        close_after_answer(exchange.send)
    await exchange.write(execution.ending(), more=False)


async def _guard(
    gateway: Gateway, exchange: Exchange, execution: Execution, work: Awaitable[None], watch: Watch
) -> None:
    """Do the work. A caller that left, our own shutdown and a fault of ours all end it in order."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        execution.error = (
            ApiError("client_closed", "the caller left")
            if watch.gone
            else ApiError("overloaded", "the server is shutting down", retry_after_s=1)
        )
    except ApiError as error:
        execution.error = error
    except Exception as error:  # noqa: BLE001 - a stream that has begun must end with a word, and a record
        execution.error = gateway.fault(f"req_{exchange.name}", error)


async def _settle(
    gateway: Gateway, exchange: Exchange, case: Case, execution: Execution, *, gone: bool
) -> None:
    """Record how it ended, for the audit and for the log. Nothing conclusive has been sent yet."""
    status: Status = "cancelled" if gone else execution.status
    exchange.facts = log_facts(case.decision, status, execution)
    if gone:
        exchange.status = 499
    exchange.extra = [*route_headers(case.decision, execution.step, len(execution.attempts))]
    if execution.cost_usd is not None:
        exchange.extra.append((b"x-interlock-cost-usd", b"%.8f" % execution.cost_usd))
    await gateway.record(case, status, execution)


class Stream:
    """Where the executor puts a stream: the head once, then bytes. `since` is when a write began to wait."""

    def __init__(self, exchange: Exchange, decision: Decision, clock: Callable[[], float]) -> None:
        self.begun = False
        self.since: float | None = None
        self._exchange = exchange
        self._decision = decision
        self._clock = clock

    async def begin(self, step: Step, attempt: int) -> None:
        self.begun = True
        await self._exchange.begin(200, SSE, [*route_headers(self._decision, step, attempt), _NO_STORE])

    async def write(self, data: bytes) -> None:
        self.since = self._clock()
        await self._exchange.write(data, more=True)
        self.since = None

    def abort(self) -> None:
        abort(self._exchange.send)


def route_headers(decision: Decision, step: Step | None, attempts: int) -> list[Header]:
    """What every inference answer says about its decision. `step` is the model that answers."""
    route = decision.route
    headers = [
        (b"x-interlock-decision-id", decision.id.encode("ascii")),
        (b"x-interlock-attempts", b"%d" % attempts),
    ]
    if route is not None:
        provider, model = (route.provider, route.model) if step is None else (step.provider, step.model)
        headers.append((b"x-interlock-route", _value(f"{provider}/{model}")))
        if route.alias is not None:
            headers.append((b"x-interlock-alias", _value(f"{route.alias}@{route.alias_version}")))
    return headers


def _value(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")
