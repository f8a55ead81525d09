"""Asks a model to go on where its length has cut an answer: as often and as far as the budgets go.

What comes back is joined by `continuing` and `joint`. A part that does not come leaves the answer as it
was: cut, and said to be.
"""

import asyncio

from interlock.adapters import HttpCall
from interlock.adapters.call import signed
from interlock.execute.calls import Emit, call_stream, call_whole
from interlock.execute.continuing import joined, may_continue, next_request, output_left
from interlock.execute.cost import affordable_tokens, cost_usd
from interlock.execute.deadlines import CONNECT_S, IDLE_S, Limits
from interlock.execute.joint import Joint
from interlock.execute.plan import LEAST_S
from interlock.execute.setting import Services, Setting
from interlock.execute.trial import Trial
from interlock.execute.usage import complete
from interlock.types.answer import Answer, Failure, Usage
from interlock.types.decision import Decision


class More:
    """The further calls of one attempt. `spent_usd` is what earlier attempts cost."""

    def __init__(
        self, decision: Decision, setting: Setting, services: Services, deadline: float, spent_usd: float
    ) -> None:
        self.decision = decision
        self.setting = setting
        self.services = services
        self.deadline = deadline
        self.spent_usd = spent_usd
        self._clock = asyncio.get_running_loop().time

    async def whole(self, trial: Trial, answer: Answer) -> Answer:
        """A cut answer with what follows."""
        for _ in range(self.decision.budgets.max_continuations or 0):
            if answer.finish != "length" or not may_continue(answer.parts):
                break
            call = self._next_call(trial, trial.text, answer.usage)
            if call is None:
                break
            found = await call_whole(
                self.services.transport,
                trial.whole,
                call,
                self._limits(),
                trial.heard,
                trial.destination.proxy,
            )
            if isinstance(found, Failure):
                trial.lose(found)
                break
            trial.under_way = 0
            trial.answer = answer = joined(answer, trial.cleaned(found))
        return answer

    async def stream(self, trial: Trial, joint: Joint, emit: Emit) -> None:
        """The rest of a cut stream, and its end."""
        cut = joint.cut
        while joint.cut is not None:
            cut = joint.cut
            call = self._next_call(trial, joint.text, joint.usage)
            if call is None:
                break
            trial.release()
            failure = await call_stream(
                self.services.transport,
                trial.destination.adapter,
                call,
                self._limits(),
                joint.resume(),
                emit,
                trial.heard,
                trial.destination.proxy,
            )
            if failure is not None or joint.failed:
                trial.lose(failure)
                break
            trial.under_way = 0
        if cut is not None and not joint.flow.over:
            await emit(joint.finish(cut))

    def _next_call(self, trial: Trial, text: str, usage: Usage) -> HttpCall | None:
        """The call that goes on; None where budgets, time, limits or the target's health forbid it."""
        decision, model, now = self.decision, trial.destination.model, self._clock()
        destination = self.setting.destinations[trial.step.model, trial.step.endpoint]
        used = usage.output_tokens
        used = self.services.count(text, model.upstream) if used is None else used
        tokens = decision.signals.input_tokens + used
        gate = destination.upstream.throttle
        limited = gate is not None and not gate.fits(now, tokens, destination.health)
        too_long = model.context_tokens is not None and tokens >= model.context_tokens
        if self.deadline - now < LEAST_S or limited or too_long or not destination.health.is_well(now):
            return None
        so_far = complete(usage, input_tokens=decision.signals.input_tokens, output_tokens=used)
        spent_usd = self.spent_usd + (cost_usd(so_far, model.price) or 0.0)
        affordable = affordable_tokens(decision.budgets.max_cost_usd, spent_usd, tokens, model.price)
        cap = output_left(decision, model, used, affordable)
        if cap == 0:
            return None
        trial.sent_again(now, () if gate is None else gate.begin(now, tokens, destination.health))
        trial.continuations += 1
        trial.under_way = tokens
        request = next_request(trial.request, text, cap)
        return signed(trial.whole.encode_request(request, destination.target), self.services.now())

    def _limits(self) -> Limits:
        now = self._clock()
        first_by = min(now + IDLE_S, self.deadline)
        connect_by, end_by = min(now + CONNECT_S, first_by), self.deadline
        return Limits(connect_by=connect_by, first_by=first_by, end_by=end_by, unseen_by=end_by)
