"""Drives one decision to its end: calls, waits, falls back, validates, counts, and says how it went.

It sends the caller nothing but what a stream gives out before its last event; the answer, the last
event and the record are the server's to put in order. What to do next is `plan`'s to say; whether a
target may be called at this moment is asked of `resilience`, which hears how each call ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from interlock.dialects import DIALECTS, StreamEncoder
from interlock.errors import ApiError
from interlock.execute.apart import apart
from interlock.execute.call_ids import with_call_ids
from interlock.execute.calls import call_stream, call_whole
from interlock.execute.deadlines import DEADLINE_S, limits
from interlock.execute.door import Pass, Turned, admit, could_follow, depart, others_are_well, queue
from interlock.execute.failures import is_safe_to_repeat, to_error
from interlock.execute.flow import Flow
from interlock.execute.inert import inert_answer
from interlock.execute.joint import Joint
from interlock.execute.more import More
from interlock.execute.plan import LEAST_S, AttemptEnd, Step, attempts, first_step
from interlock.execute.prepare import cannot_wait, prepare
from interlock.execute.race import Race, Run
from interlock.execute.setting import Services, Setting, Sink
from interlock.execute.trial import Trial
from interlock.execute.validation.verdict import NOTHING_EXPECTED, WORDS, expect, judge_answer
from interlock.route.limits import REQUEST
from interlock.types.answer import Answer, Event, Failure
from interlock.types.decision import Decision, Dropped
from interlock.types.record import Attempt, Counted, Status, Validation
from interlock.types.request import Request, ToolCall

OK: Final = AttemptEnd(outcome="ok")
FAIR_S: Final = 10.0
"""A target that was not given so long by its caller is not taken for broken when it times out."""


class Execution:
    """Mutable: the notebook of one execution. Read `attempts`, `answer`, `error` when it is over.

    `cost_usd` is what all attempts cost together, None while no cost is known.
    """

    __slots__ = (
        "_encoder",
        "_end",
        "_expected",
        "_held_usd",
        "_lane",
        "_race",
        "_rest",
        "_sink",
        "_trial",
        "answer",
        "attempts",
        "began",
        "cost_usd",
        "counted",
        "deadline",
        "decision",
        "error",
        "large",
        "loop",
        "request",
        "services",
        "setting",
        "skipped",
        "step",
        "validation",
    )

    def __init__(
        self,
        request: Request,
        decision: Decision,
        setting: Setting,
        services: Services,
        began: float,
        *,
        rest: Request | None = None,
        large: bool = False,
    ) -> None:
        """`began` is the instant of `loop.time()` from which the deadline counts.

        `rest` is what is held of the request once its answer has begun, which no other model can give then.
        `large`: what goes through the whole request is done off the loop, because others wait.
        """
        config = setting.snapshot.config
        deadline_ms = decision.budgets.deadline_ms
        self.request = request
        self.decision = decision
        self.setting = setting
        self.services = services
        self.loop = asyncio.get_running_loop()
        self.began = began
        self.large = large
        self.deadline = began + (DEADLINE_S if deadline_ms is None else deadline_ms / 1000)
        self.attempts: list[Attempt] = []
        self.skipped: list[Dropped] = []
        self.cost_usd: float | None = None
        self.step: Step | None = None
        self.answer: Answer | None = None
        self.validation: Validation | None = None
        self.error: ApiError | None = None
        self.counted: Counted | None = None
        lane = decision.route.lane if decision.route is not None else None
        self._lane = setting.snapshot.lanes.get(lane) if lane is not None else None
        contract = setting.contracts.get(lane) if lane is not None else None
        self._expected = expect(request, decision, contract, config.tools, config.default_tool)
        self._encoder: StreamEncoder | None = None
        self._sink: Sink | None = None
        self._end = b""
        self._trial: Trial | None = None
        self._race: Race | None = None
        self._rest = request if rest is None else rest
        self._held_usd = 0.0

    @property
    def status(self) -> Status:
        if self.error is None:
            return "ok"
        return "denied" if self.error.status == 403 or self.error.code == "budget_exceeded" else "failed"

    @property
    def text(self) -> str:
        """The words of the answer; empty without one."""
        return self._trial.text if self._trial is not None and self.error is None else ""

    @property
    def calls(self) -> Sequence[ToolCall]:
        """The tool calls of the answer; none without one."""
        return self._trial.calls if self._trial is not None and self.error is None else ()

    def heard(self, limit: int) -> bytes | None:
        """What the upstream said, as it came, where that is one small whole answer; gone with `release`."""
        if self._trial is None or self.error is not None or len(self.attempts) != 1:
            return None
        return self._trial.body(limit)

    @property
    def elapsed_ms(self) -> float:
        """Since the request began."""
        return (self.loop.time() - self.began) * 1000

    def run_whole(self) -> Coroutine[Any, Any, None]:
        """Execute a request whose caller waits for a whole answer."""
        return self._walk()

    def run_stream(self, sink: Sink) -> Coroutine[Any, Any, None]:
        """Execute a streamed request, all but its end: `ending` has that."""
        self._sink = sink
        return self._walk()

    def ending(self) -> bytes:
        """The last bytes of a stream that has begun: its terminal event, or one error event in its place."""
        assert self._encoder is not None, "nothing was begun"
        return self._end if self.error is None else self._encoder.fail(self.error)

    def release(self) -> None:
        """Let go of the upstream: whatever it still has to say is not waited for."""
        if self._trial is not None:
            self._trial.release()

    async def _walk(self) -> None:
        if self._expected is not NOTHING_EXPECTED and self.request.operation == "answer":
            self.error = await apart(self._in_vain) if self.large else self._in_vain()
            if self.error is not None:
                return
        after_ms = self._lane.hedge_after_ms if self._lane is not None else None
        step = first_step(self.decision, None if after_ms is None else after_ms / 1000)
        plan: Generator[Step, AttemptEnd, None] | None = None
        while True:
            end = await (self._try(step) if step.hedge is None else self._hedged(step))
            if end.outcome == "ok":
                return
            if plan is None:
                plan = attempts(self.decision, step)
                next(plan)
            try:
                step = plan.send(end)
            except StopIteration:
                return

    def _in_vain(self) -> ApiError | None:
        """Why nothing need be called: no answer could be given out."""
        return cannot_wait(self.request, self.decision) or self._expected.impossible()

    async def _hedged(self, step: Step) -> AttemptEnd:
        """Call a model, and another one if it says nothing for a while; the first answer is taken."""
        hedge, before = step.hedge, len(self.attempts)
        assert hedge is not None, "there is a second"
        race = self._race = Race()

        def second() -> Run | None:
            held = self._worst_usd()
            if held is None:
                return None
            self._held_usd = held
            return self._try(hedge.step)

        try:
            end = await race.run(self._try(step), hedge.after_s, second)
        finally:
            self._race, self._held_usd = None, 0.0
            # In the order in which they began, whoever ended first.
            self.attempts[before:] = sorted(self.attempts[before:], key=lambda a: a.model != step.model)
        calls, left_s = len(self.attempts) - before, self.deadline - self.loop.time()
        return msgspec.structs.replace(end, calls=calls, hedged=race.hedged, left_s=left_s)

    def _worst_usd(self) -> float | None:
        """What the call under way may still cost, where there is a limit; None: unknown, or not made yet."""
        if self.decision.budgets.max_cost_usd is None:
            return 0.0
        trial = self._trial
        return None if trial is None or trial.ended else trial.worst_usd(self.decision.signals.input_tokens)

    async def _try(self, step: Step) -> AttemptEnd:
        """Call a model, unless something speaks against it now."""
        if step.again and not self._may_repeat(step):
            return AttemptEnd(outcome="no_retry", calls=0)
        if step.after_s > 0:
            await asyncio.sleep(step.after_s)
        now = self.loop.time()
        if self.deadline - now < LEAST_S:
            self.error = to_error(Failure(outcome="timeout", message=""), self.attempts)
            return AttemptEnd(outcome="timeout", final=True, calls=0)
        spent_usd = (self.cost_usd or 0.0) + self._held_usd
        passed = admit(step, self.decision, self.setting, spent_usd, now)
        if isinstance(passed, Pass) and passed.gate is not None:
            passed = await queue(passed, step, self.decision, self.setting, spent_usd, self.deadline)
            now = self.loop.time()
        if not isinstance(passed, Pass):
            return self._pass_over(passed)
        self.skipped += [over for over in passed.passed_over if not self._is_noted(over)]
        self.step = step = passed.step
        trial: Trial | None = None
        try:
            made = await apart(self._prepared_apart, step, passed, now) if self.large else None
            trial = self._trial = made or self._prepared(step, passed, now)
            self._heard(trial, await self._call(trial))
            return self._close(trial)
        except asyncio.CancelledError:
            if trial is not None:
                trial.fail(Failure(outcome="cancelled", message="the request was cancelled"))
                self._close(trial)
            raise
        except Exception:
            # A fault of ours. The call was made all the same, and may have to be paid for.
            if trial is not None and not trial.ended:
                trial.fail(Failure(outcome="malformed", message="the answer could not be read"))
                self._close(trial)
            raise
        finally:
            self._depart(passed, trial)

    def _may_repeat(self, step: Step) -> bool:
        """Take a call from the retry budget of a step's upstream."""
        destination = self.setting.destinations[step.model, step.endpoint]
        return destination.upstream.retries.take(self.loop.time())

    def _prepared_apart(self, step: Step, passed: Pass, now: float) -> Trial:
        """The same, and what its answer will be judged by."""
        self._expected.gather()
        return self._prepared(step, passed, now)

    def _prepared(self, step: Step, passed: Pass, now: float) -> Trial:
        destination = passed.destination
        request, mark = prepare(
            self.request,
            self.decision,
            destination.model,
            self._lane,
            affordable=passed.affordable,
            is_untrusted=self.setting.is_untrusted,
            fresh=self.services.fresh,
        )
        whole = destination.calls[request.operation]  # the decision left out who has no such call
        call = whole.encode_request(request, destination.target)
        allowed = limits(
            now,
            self.deadline,
            self.decision.budgets,
            spare=step.spare,
            stream=self._sink is not None,
            answers=self.request.operation == "answer",
        )
        return Trial(step, passed, request, call, mark, allowed, now, self.services.now())

    def _is_noted(self, over: Dropped) -> bool:
        """Whether the record says already that it was passed over for that: repeats meet the same again."""
        return any((noted.model, noted.rule) == (over.model, over.rule) for noted in self.skipped)

    def _pass_over(self, turned: Turned) -> AttemptEnd:
        """Note why a step was not called; an error of an earlier, real failure stays."""
        self.skipped.append(turned.dropped)
        if self.error is None:
            self.error = turned.error
        return AttemptEnd(
            outcome=turned.outcome,
            calls=0,
            safe=turned.outcome == "cooled",
            asked_s=turned.wait_s,
            left_s=self.deadline - self.loop.time(),
            draw=self.services.draw(),
        )

    def _depart(self, passed: Pass, trial: Trial | None) -> None:
        """Let the target know how it went; a call that was never made says nothing."""
        now = self.loop.time()
        probe = passed.probe and (trial is None or trial.probes is not None)
        if trial is None or not trial.ended:
            nothing = Failure(outcome="cancelled", message="")
            depart(passed, nothing, now, probe=probe, alone=True, output_tokens=None, began=now)
            return
        failure = trial.failure
        if failure is not None and failure.outcome == "timeout" and self._was_hurried(trial, now):
            failure = msgspec.structs.replace(failure, outcome="cancelled")
        alone = failure is None or not others_are_well(trial.step, self.decision, self.setting, now)
        depart(
            passed,
            failure,
            now,
            probe=probe,
            alone=alone,
            output_tokens=self.attempts[-1].output_tokens,
            began=trial.began,
            explained=trial.explained,
        )

    def _was_hurried(self, trial: Trial, now: float) -> bool:
        """Whether a timeout says less about the target than about the caller, or about a long answer.

        Else any caller with a short deadline could take a target away from all others.
        """
        limits = self.decision.why.limits
        by_caller = limits.get("deadline_ms") == REQUEST and now - trial.began < FAIR_S
        return by_caller or (trial.first is not None and now >= self.deadline)

    def _close(self, trial: Trial) -> AttemptEnd:
        """Write the attempt down, and say how it ended to the plan and to the caller."""
        attempt = trial.attempt(self.loop.time(), self.decision.signals.input_tokens, self.services.count)
        self.attempts.append(attempt)
        trial.ended = True
        if attempt.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + attempt.cost_usd
        if self._race is not None and self._race.lost:
            trial.release()
            return AttemptEnd(outcome="cancelled", final=True)
        self.validation = trial.validation
        if trial.violation is None and trial.failure is None:
            self._take(trial)
            self.error = None
            return OK
        trial.release()
        if trial.violation is not None:
            found = trial.violation
            self.error = ApiError(found.code, found.message, hint=found.hint)
            return AttemptEnd(outcome="schema_invalid", final=found.final or self._encoder is not None)
        return self._failed(trial.failure)

    def _failed(self, failure: Failure | None) -> AttemptEnd:
        assert failure is not None, "it did not succeed"
        self.error = to_error(failure, self.attempts)
        has_effects = any(tool.vendor is not None for tool in self.request.tools)
        return AttemptEnd(
            outcome=failure.outcome,
            final=failure.final or self._encoder is not None,
            safe=is_safe_to_repeat(failure, has_effects=has_effects),
            asked_s=failure.retry_after_s,
            left_s=self.deadline - self.loop.time(),
            draw=self.services.draw(),
        )

    def _call(self, trial: Trial) -> Awaitable[Answer | Failure | None]:
        """The call of an attempt. None is a stream, which has noted by itself how it went."""
        if self._sink is not None:
            return self._call_stream(trial)
        if self.decision.budgets.max_continuations:
            return self._call_on(trial)
        return self._call_whole(trial)

    def _call_whole(self, trial: Trial) -> Awaitable[Answer | Failure]:
        return call_whole(
            self.services.transport,
            trial.whole,
            trial.take_call(),
            trial.limits,
            trial.heard,
            trial.destination.proxy,
        )

    async def _call_on(self, trial: Trial) -> Answer | Failure:
        """A whole answer with what follows where its length cuts it."""
        found = await self._call_whole(trial)
        if isinstance(found, Failure) or found.finish != "length":
            return found
        trial.answer = trial.cleaned(found)
        return await self._more().whole(trial, trial.answer)

    def _heard(self, trial: Trial, found: Answer | Failure | None) -> None:
        """Judge what came back whole. An answer that passes is completed by what only we know."""
        if found is None:
            return
        if not isinstance(found, Answer):
            trial.fail(found)
            return
        trial.answer = answer = trial.cleaned(found)
        if self.request.operation != "answer":
            self._take_figures(trial, answer)
            return
        verdict = judge_answer(answer, self._expected, self._other(trial))
        trial.judged(verdict)
        if trial.violation is None and trial.failure is None:
            if self._expected.inert:
                answer = inert_answer(answer)
            if verdict is not WORDS:
                answer = with_call_ids(answer, self.decision.id)
            usage = trial.usage(self.decision.signals.input_tokens, self.services.count)
            if usage is not answer.usage or not answer.created or not answer.id:
                answer = msgspec.structs.replace(
                    answer,
                    usage=usage,
                    id=answer.id or self.decision.id,
                    created=answer.created or self.services.epoch_s(),
                )
            self.answer = answer

    def _take_figures(self, trial: Trial, answer: Answer) -> None:
        """An answer without words: vectors, of which each input has one, or a count, which costs nothing."""
        if self.request.operation == "embed":
            if len(answer.parts) != len(self.request.messages):
                trial.fail(Failure(outcome="malformed", message="the provider's answer lacks embeddings"))
                return
            usage = trial.usage(self.decision.signals.input_tokens, self.services.count)
            answer = msgspec.structs.replace(answer, usage=usage)
        self.answer = answer

    async def _call_stream(self, trial: Trial) -> None:
        services, sink, most = self.services, self._sink, self.decision.budgets.max_continuations
        assert sink is not None, "it is a stream"
        mark, epoch_s, other = trial.mark, services.epoch_s(), self._other(trial)
        flow = trial.flow = Flow(self._expected, mark, epoch_s, trial.secret, self.decision.id, other)

        async def emit(events: Sequence[Event]) -> None:
            encoder = self._encoder or await self._begin(trial, sink)
            data = encoder.encode(events)
            if data:
                await sink.write(data)

        into = Joint(flow, most) if most else flow
        to = trial.destination
        failure = await call_stream(
            services.transport, to.adapter, trial.take_call(), trial.limits, into, emit, trial.heard, to.proxy
        )
        if isinstance(into, Joint) and into.cut is not None:
            await self._more().stream(trial, into, emit)
        failure = failure or flow.failure
        if failure is not None:
            trial.fail(failure)
        if flow.verdict is not None:
            trial.judged(flow.verdict)
        if flow.finished is not None and flow.passed:
            encoder = self._encoder or await self._begin(trial, sink)
            usage = trial.usage(self.decision.signals.input_tokens, services.count)
            self._end = encoder.encode([msgspec.structs.replace(flow.finished, usage=usage)])

    def _other(self, trial: Trial) -> Callable[[], bool]:
        """Says whether another model would be asked in place of the one that answers."""
        known = (self.decision, self.setting, self.attempts, trial.step.model, self.loop.time)
        return partial(could_follow, *known)

    def _more(self) -> More:
        return More(self.decision, self.setting, self.services, self.deadline, self.cost_usd or 0.0)

    async def _begin(self, trial: Trial, sink: Sink) -> StreamEncoder:
        """Begin the stream to the caller, by the first model that has something to say."""
        self._take(trial)
        trial.speaks(self.loop.time())
        encoder = self._encoder = DIALECTS[self.request.dialect].StreamEncoder(self.request, trial.step.model)
        hedged = self._race is not None and self._race.hedged
        if not self.decision.budgets.max_continuations:
            self.request = trial.request = self._rest
        await sink.begin(trial.step, len(self.attempts) + 1 + hedged)
        return encoder

    def _take(self, trial: Trial) -> None:
        """Take this attempt's answer as the one; another that runs beside it is given up."""
        if self._race is not None:
            self._race.win()
            self.step, self._trial = trial.step, trial
