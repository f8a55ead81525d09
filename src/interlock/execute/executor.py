"""Drives one decision to its end: calls, falls back, validates, counts, and says how it went.

It sends the caller nothing but what a stream gives out before its last event; the answer, the last
event and the record are the server's to put in order. It never retries a model.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from interlock.adapters import AdapterModule, Target
from interlock.config.checked import Model
from interlock.dialects import DIALECTS, StreamEncoder
from interlock.errors import ApiError
from interlock.execute.calls import Limits, call_stream, call_whole
from interlock.execute.cost import affordable_tokens
from interlock.execute.failures import to_error
from interlock.execute.flow import Flow
from interlock.execute.layout import Fresh, Untrusted
from interlock.execute.plan import AttemptEnd, Skipped, Step, attempts
from interlock.execute.prepare import cannot_wait, prepare
from interlock.execute.redact import clean_answer
from interlock.execute.trial import Count, Trial
from interlock.execute.validate import (
    Schema,
    check_schemas,
    check_usable,
    is_empty,
    judge_calls,
    offer_of,
)
from interlock.route.decide import permits
from interlock.route.snapshot import Snapshot
from interlock.transport import Response, Transport
from interlock.types.answer import Answer, Event, Failure
from interlock.types.decision import Decision, Dropped
from interlock.types.record import Attempt, Status, Validation
from interlock.types.request import Request, Text, ToolCall
from interlock.types.world import World

DEADLINE_S: Final = 600.0
"""Where no budget sets a deadline: as long as the vendors' own SDKs wait."""
LEAST_S: Final = 0.05
"""Nothing is started with less time left than this."""
RESERVE: Final = 0.25
"""The share of the time left that a model leaves to the one that would follow a timeout."""


class Destination(Struct, frozen=True, kw_only=True):
    """A model at one deployment, ready to be called."""

    model: Model
    adapter: AdapterModule
    target: Target


class Setting(Struct, frozen=True, kw_only=True):
    """What is the same for every request under one config and world. Destinations go by (model, endpoint)."""

    snapshot: Snapshot
    world: World
    destinations: Mapping[tuple[str, str | None], Destination]
    is_untrusted: Untrusted


class Services(Struct, frozen=True, kw_only=True):
    """What acts on the outside: the transport, the wall clock, randomness, and the token counter.

    `now` is RFC 3339 for records, `epoch_s` whole seconds for answers.
    """

    transport: Transport
    now: Callable[[], str]
    epoch_s: Callable[[], int]
    fresh: Fresh
    count: Count


class Sink(Protocol):
    """Where a stream goes: `begin` once, with the model that answers, then bytes."""

    async def begin(self, step: Step, attempt: int) -> None: ...
    async def write(self, data: bytes) -> None: ...


class Execution:
    """Mutable: the notebook of one execution. Read `attempts`, `answer`, `error` when it is over.

    `cost_usd` is what all attempts cost together, None while no cost is known.
    """

    def __init__(
        self, request: Request, decision: Decision, setting: Setting, services: Services, began: float
    ) -> None:
        """`began` is the instant of `loop.time()` from which the deadline counts."""
        config = setting.snapshot.config
        deadline_ms = decision.budgets.deadline_ms
        self.request = request
        self.decision = decision
        self.setting = setting
        self.services = services
        self.clock = asyncio.get_running_loop().time
        self.began = began
        self.deadline = began + (DEADLINE_S if deadline_ms is None else deadline_ms / 1000)
        self.attempts: list[Attempt] = []
        self.cost_usd: float | None = None
        self.step: Step | None = None
        self.answer: Answer | None = None
        self.validation: Validation | None = None
        self.error: ApiError | None = None
        self.text = ""
        lane = decision.route.lane if decision.route is not None else None
        self._lane = setting.snapshot.lanes.get(lane) if lane is not None else None
        self._offer = offer_of(request, decision, config.tools, config.default_tool)
        self._schemas = self._all_schemas()
        self._encoder: StreamEncoder | None = None
        self._sink: Sink | None = None
        self._end = b""
        self._response: Response | None = None

    @property
    def status(self) -> Status:
        if self.error is None:
            return "ok"
        return "denied" if self.error.status == 403 or self.error.code == "budget_exceeded" else "failed"

    @property
    def elapsed_ms(self) -> float:
        """Since the request began."""
        return (self.clock() - self.began) * 1000

    async def run_whole(self) -> None:
        """Execute a request whose caller waits for a whole answer."""
        await self._walk(self._call_whole)

    async def run_stream(self, sink: Sink) -> None:
        """Execute a streamed request, all but its end: `ending` has that."""
        self._sink = sink
        await self._walk(self._call_stream)

    def ending(self) -> bytes:
        """The last bytes of a stream that has begun: its terminal event, or one error event in its place."""
        assert self._encoder is not None, "nothing was begun"
        return self._end if self.error is None else self._encoder.fail(self.error)

    def release(self) -> None:
        """Let go of the upstream: whatever it still has to say is not waited for."""
        if self._response is not None:
            self._response.close()
            self._response = None

    async def _walk(self, call: Callable[[Trial], Awaitable[None]]) -> None:
        self.error = cannot_wait(self.request, self.decision) or check_usable(self.request.response_format)
        if self.error is not None:
            return
        plan = attempts(self.decision)
        step: Step | None = next(plan)
        while step is not None:
            end = await self._try(step, call)
            try:
                step = plan.send(end)
            except StopIteration:
                step = None

    async def _try(self, step: Step, call: Callable[[Trial], Awaitable[None]]) -> AttemptEnd:
        now = self.clock()
        if self.deadline - now < LEAST_S:
            self.error = to_error(Failure(outcome="timeout", message=""), self.attempts)
            return AttemptEnd(outcome="timeout", final=True, called=False)
        setting, decision = self.setting, self.decision
        destination = setting.destinations.get((step.model, step.endpoint))
        # The route was judged by the decision itself, a moment ago, under this very snapshot.
        dropped = (
            permits(setting.snapshot, decision.signals, setting.world, step.model, step.endpoint)
            if decision.route is None or step.model != decision.route.model
            else None
        )
        if destination is None or dropped is not None:
            return self._skip("not_permitted", _not_permitted(step, dropped))
        affordable = affordable_tokens(
            decision.budgets.max_cost_usd,
            self.cost_usd or 0.0,
            decision.signals.input_tokens,
            destination.model.price,
        )
        if affordable is not None and affordable < 1:
            return self._skip("budget", _too_dear(step))
        self.step = step
        trial = self._prepared(step, destination, affordable, now)
        try:
            await call(trial)
        except asyncio.CancelledError:
            trial.fail(Failure(outcome="cancelled", message="the request was cancelled"))
            self._close(trial)
            raise
        return self._close(trial)

    def _prepared(self, step: Step, destination: Destination, affordable: int | None, now: float) -> Trial:
        prepared = prepare(
            self.request,
            self.decision,
            destination.model,
            self._lane,
            affordable=affordable,
            is_untrusted=self.setting.is_untrusted,
            fresh=self.services.fresh,
        )
        return Trial(
            step=step,
            model=destination.model,
            adapter=destination.adapter,
            call=destination.adapter.encode_request(prepared.request, destination.target),
            secret=destination.target.api_key,
            mark=prepared.mark,
            limits=self._limits(step, now),
            began=now,
            started_at=self.services.now(),
        )

    def _skip(self, outcome: Skipped, error: ApiError) -> AttemptEnd:
        """Pass over a step that may not be called; an error of an earlier, real failure stays."""
        if self.error is None:
            self.error = error
        return AttemptEnd(outcome=outcome, called=False)

    def _limits(self, step: Step, now: float) -> Limits:
        """A model that another could replace leaves it time, until its first event has come."""
        budgets = self.decision.budgets
        left = self.deadline - now
        first_s = left if budgets.first_token_ms is None else budgets.first_token_ms / 1000
        reserve = min(left * RESERVE, first_s) if step.spare and budgets.deadline_ms is not None else 0.0
        if self._sink is None:
            return Limits(first_by=self.deadline - reserve, end_by=self.deadline - reserve)
        return Limits(first_by=min(now + first_s, self.deadline - reserve), end_by=self.deadline)

    def _close(self, trial: Trial) -> AttemptEnd:
        """Write the attempt down, and say how it ended to the plan and to the caller."""
        attempt = trial.attempt(
            self.clock(), self.decision.signals.input_tokens, self.services.count, self._offer
        )
        self.attempts.append(attempt)
        if trial.failure is not None or trial.violation is not None:
            self.release()
        if attempt.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + attempt.cost_usd
        self.validation = trial.validation
        if trial.violation is not None:
            found = trial.violation
            self.error = ApiError(found.code, found.message, hint=found.hint)
            return AttemptEnd(outcome="schema_invalid", final=found.final or self._encoder is not None)
        if trial.failure is not None:
            self.error = to_error(trial.failure, self.attempts)
            final = trial.failure.final or self._encoder is not None
            return AttemptEnd(outcome=trial.failure.outcome, final=final)
        self.error = None
        self.text = trial.text
        return AttemptEnd(outcome="ok")

    async def _call_whole(self, trial: Trial) -> None:
        found = await call_whole(self.services.transport, trial.adapter, trial.call, trial.limits)
        if isinstance(found, Failure):
            trial.fail(found)
            return
        answer = found if trial.mark is None else _unmarked(found, trial.mark)
        trial.answer = answer = clean_answer(answer, trial.secret)
        if is_empty(answer.parts, answer.finish):
            trial.fail(Failure(outcome="malformed", message="the provider's answer is empty"))
        elif answer.finish == "content_filter" and not trial.text:
            trial.fail(Failure(outcome="content_filtered", message="the provider filtered its answer"))
        else:
            trial.withhold(judge_calls(trial.calls, self._offer))
            trial.validation = check_schemas(trial.text, answer.finish, self._schemas)
            if trial.violation is None and trial.validation.verdict == "failed":
                message = "; ".join(trial.validation.violations)
                trial.fail(Failure(outcome="schema_invalid", message=message))
        if trial.violation is None and trial.failure is None:
            self.answer = msgspec.structs.replace(
                answer,
                usage=trial.usage(self.decision.signals.input_tokens, self.services.count),
                created=answer.created or self.services.epoch_s(),
            )

    async def _call_stream(self, trial: Trial) -> None:
        flow = trial.flow = Flow(self._offer, trial.mark, self.services.epoch_s(), trial.secret)

        async def emit(events: Sequence[Event]) -> None:
            sink, encoder = await self._begun(trial)
            data = encoder.encode(events)
            if data:
                await sink.write(data)

        services = self.services
        failure = await call_stream(
            services.transport, trial.adapter, trial.call, trial.limits, flow, emit, self._keep
        )
        failure = failure or flow.failure
        if failure is not None:
            trial.fail(failure)
        trial.withhold(flow.violation)
        if flow.finished is not None:
            _, encoder = await self._begun(trial)
            trial.validation = check_schemas(flow.text, flow.finished.finish, self._schemas)
            if trial.validation.verdict == "failed":
                # Its words are with the caller already; its end must not say that they are right.
                message = "; ".join(trial.validation.violations)
                trial.fail(Failure(outcome="schema_invalid", message=message))
            usage = trial.usage(self.decision.signals.input_tokens, services.count)
            self._end = encoder.encode([msgspec.structs.replace(flow.finished, usage=usage)])

    def _keep(self, response: Response) -> None:
        self.release()
        self._response = response

    async def _begun(self, trial: Trial) -> tuple[Sink, StreamEncoder]:
        """The stream to the caller, begun by the first model that has something to say."""
        assert self._sink is not None
        if self._encoder is None:
            trial.first = self.clock()
            self._encoder = DIALECTS[self.request.dialect].StreamEncoder(self.request, trial.step.model)
            await self._sink.begin(trial.step, len(self.attempts) + 1)
        return self._sink, self._encoder

    def _all_schemas(self) -> tuple[Schema, ...]:
        schemas: list[Schema] = []
        asked = self.request.response_format
        if asked is not None and asked.json_schema is not None:
            schemas.append(Schema("request", asked.json_schema))
        if self._lane is not None and self._lane.json_schema is not None:
            schemas.append(Schema(f"lane {self._lane.name}", self._lane.json_schema))
        return tuple(schemas)


def _unmarked(answer: Answer, mark: str) -> Answer:
    """An answer without the characters that `datamarked` put into the request."""
    parts = tuple(
        msgspec.structs.replace(part, text=part.text.replace(mark, " "))
        if isinstance(part, Text)
        else msgspec.structs.replace(part, arguments=part.arguments.replace(mark, " "))
        if isinstance(part, ToolCall)
        else part
        for part in answer.parts
    )
    return msgspec.structs.replace(answer, parts=parts)


def _not_permitted(step: Step, dropped: Dropped | None) -> ApiError:
    why = "not in the pool" if dropped is None else f"{dropped.why} ({dropped.rule})"
    return ApiError("policy_denied", f"`{step.model}` may not serve this request: {why}")


def _too_dear(step: Step) -> ApiError:
    return ApiError(
        "budget_exceeded",
        f"what is left of the request's budget does not pay for a call of `{step.model}`",
        hint="the limit is `budgets.max_cost_usd` of the decision",
    )
