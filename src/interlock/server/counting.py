"""`POST /v1/messages/count_tokens`: how many input tokens a message would be, for the model decided on.

A provider with a counter of its own is asked, since only it knows; everywhere else our own tokenizer counts.
Another model's counter would count something else, so there are no fallbacks but our own estimate, and the
record says who counted.
"""

from typing import Final

import msgspec

from interlock.classify.tokens import count_request, family_of
from interlock.dialects import COUNT_TOKENS
from interlock.errors import ApiError, ErrorCode
from interlock.execute.apart import apart
from interlock.execute.executor import Execution
from interlock.execute.usage import credible
from interlock.server.case import Case
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.http1 import field
from interlock.server.inference import decided, guard, settle
from interlock.types.answer import Answer, Usage
from interlock.types.record import Counted

_PROVIDER_IS_SILENT: Final[frozenset[ErrorCode]] = frozenset(
    {"upstream_failed", "overloaded", "deadline_exceeded", "rate_limited"}
)
"""Errors that say nothing about the request: it can still be estimated. Others are the caller's to know."""
_INCREDIBLE: Final = "the provider's count cannot be true"


async def count_tokens(gateway: Gateway, exchange: Exchange) -> None:
    case = await decided(gateway, exchange, COUNT_TOKENS)
    route = case.decision.route
    assert route is not None, "`decided` raises where there is none"
    setting = exchange.state.setting
    alone = msgspec.structs.replace(case.decision, fallbacks=())
    services, began = gateway.services, exchange.began
    execution = Execution(case.request, alone, setting, services, began, large=case.large)
    destination = setting.destinations.get((route.model, route.endpoint))
    why: str | None = None
    if destination is not None and "count" in destination.calls:
        await guard(gateway, exchange, execution, execution.run_whole())
        if execution.error is not None and execution.error.code in _PROVIDER_IS_SILENT:
            why, execution.error = execution.error.message, None
    if execution.error is None:
        upstream = setting.snapshot.config.models[route.model].upstream
        given = case, execution.answer, upstream, why
        execution.counted = await apart(_counted, *given) if case.large else _counted(*given)
    await settle(gateway, exchange, case, execution)
    if exchange.gone:
        return
    if execution.error is not None or execution.counted is None:
        raise execution.error or ApiError("internal", "the count ended without a figure")
    counted = execution.counted
    answer = execution.answer or Answer(id="", upstream_model="", parts=(), finish="stop")
    answer = msgspec.structs.replace(answer, usage=Usage(input_tokens=counted.input_tokens))
    exchange.extra += field("x-interlock-counted-by", counted.by)
    exchange.answer(COUNT_TOKENS.encode_answer(answer, case.request, route.model))


def _counted(case: Case, answer: Answer | None, upstream: str, why: str | None) -> Counted:
    """The provider's figure if it gave one that can be true, else ours, without the tools that are denied."""
    if answer is not None:
        told = credible(answer.usage).input_tokens
        if told is not None:
            return Counted(input_tokens=told, by="provider")
        why = _INCREDIBLE
    denied = {tool.tool for tool in case.decision.policy.tools_denied}
    tools = tuple(tool for tool in case.request.tools if tool.name not in denied)
    request = msgspec.structs.replace(case.request, tools=tools)
    tokens, _ = count_request(request, *family_of(upstream))
    return Counted(input_tokens=tokens, by="estimate", why=why)
