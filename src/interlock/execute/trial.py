"""One attempt while it runs, and the `Attempt` that is recorded of it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from interlock.adapters import HttpCall
from interlock.adapters.call import signed
from interlock.execute.continuing import total
from interlock.execute.cost import cost_usd
from interlock.execute.deadlines import Limits
from interlock.execute.door import Pass, hear
from interlock.execute.flow import Flow
from interlock.execute.places import without_places
from interlock.execute.plan import Step
from interlock.execute.redact import clean_answer, without_pieces
from interlock.execute.usage import Count, complete, credible
from interlock.execute.validation.findings import Verdict, Violation
from interlock.execute.validation.said import calls_of, text_of
from interlock.execute.validation.verdict import WORDS
from interlock.resilience.learned import says
from interlock.resilience.quota import Begun
from interlock.stats.rounding import milliseconds
from interlock.transport import Response
from interlock.types.answer import Answer, AttemptOutcome, Failure, Usage
from interlock.types.record import Attempt, Validation
from interlock.types.request import Refusal, Request, Text, ToolCall

_MAY_HAVE_COST: Final = ("ok", "timeout", "malformed", "schema_invalid", "cancelled")


class Trial:
    """Mutable: what is known of an attempt so far. `secret` must not be found in anything it reports."""

    __slots__ = (
        "_call",
        "_passed",
        "_response",
        "_sent",
        "_usage",
        "answer",
        "began",
        "continuations",
        "destination",
        "ended",
        "explained",
        "failure",
        "first",
        "flow",
        "free",
        "left_out",
        "limits",
        "lost",
        "mark",
        "probes",
        "request",
        "secret",
        "started_at",
        "step",
        "under_way",
        "url",
        "validation",
        "violation",
        "whole",
        "words",
    )

    def __init__(
        self,
        step: Step,
        passed: Pass,
        request: Request,
        call: HttpCall,
        mark: str | None,
        limits: Limits,
        began: float,
        started_at: str,
    ) -> None:
        destination = passed.destination
        self.step = step
        self.destination = destination
        self.whole = destination.calls[request.operation]
        self.free = request.operation == "count"
        """Whether it runs no model: then it takes no tokens and costs nothing."""
        self.request = request
        self.url = call.url
        self.left_out = call.left_out
        self._call: HttpCall | None = signed(call, started_at)
        self.secret = destination.target.api_key
        self.mark = mark
        self.limits = limits
        self.began = began
        self.started_at = started_at
        self.first: float | None = None
        self.flow: Flow | None = None
        self.answer: Answer | None = None
        self.failure: Failure | None = None
        self.violation: Violation | None = None
        self.validation: Validation | None = None
        self.ended = False
        self.probes = destination.health.breaker if passed.probe else None
        """The breaker that this attempt is the probe of, until there is an answer."""
        self.words = False
        """Whether the answer is one text and nothing else, of which nothing was asked."""
        self.continuations = 0
        self.lost = ""
        """Why a continuation did not come."""
        self.under_way = 0
        """Input tokens of a continuation that has not ended: it may cost that, whatever becomes of it."""
        self.explained = False
        """Whether the answer told that nothing is left of a limit."""
        self._passed = passed
        self._sent = began
        self._response: Response | None = None
        self._usage: Usage | None = None

    def take_call(self) -> HttpCall:
        """What to send, once: nobody holds it while the answer comes, which may take long."""
        call, self._call = self._call, None
        assert call is not None, "an attempt calls once"
        return call

    def heard(self, response: Response) -> None:
        """Note an answer whose head has come, and pass on what it says of its sender's limits."""
        self._response = response
        if says(response.headers):
            now = asyncio.get_running_loop().time()
            well = response.status == 200
            self.explained = hear(self._passed, response.headers, now, self._sent, well=well)

    def sent_again(self, now: float, begun: Begun) -> None:
        """Note a further call of the attempt, and in which quotas it is counted."""
        self._sent = now
        self._passed = msgspec.structs.replace(self._passed, begun=begun)

    def body(self, limit: int) -> bytes | None:
        """The bytes of an answer that came whole, if they are few and still here."""
        return self._response.whole(limit) if self._response is not None else None

    def speaks(self, now: float) -> None:
        """Note the first word of a stream. A probe that speaks has found out: others need not wait."""
        self.first = now
        if self.probes is not None:
            self.probes.succeed(now, probe=True)
            self.probes = None

    def release(self) -> None:
        """Let go of the upstream: whatever it still has to say is not waited for."""
        if self._response is not None:
            self._response.close()
            self._response = None

    @property
    def text(self) -> str:
        """The words that the attempt has produced so far."""
        if self.answer is not None:
            return text_of(self.answer.parts)
        return self.flow.text if self.flow is not None else ""

    @property
    def calls(self) -> Sequence[ToolCall]:
        if self.answer is not None:
            return calls_of(self.answer.parts)
        return self.flow.calls if self.flow is not None else ()

    def worst_usd(self, input_tokens: int) -> float | None:
        """What it may cost at most; None: its model has no price, or its answer no bound."""
        most = Usage(input_tokens=input_tokens, output_tokens=self.request.max_output_tokens)
        return cost_usd(most, self.destination.model.price)

    def usage(self, input_tokens: int, count: Count) -> Usage:
        """The tokens of the attempt: as the provider counted them, else estimated, and then flagged.

        `input_tokens` is the estimate for the request. A call that failed before it can have cost
        anything keeps unknown counts.
        """
        if self.free:
            return Usage()
        if self._usage is None:
            told = credible(self._told())
            if (
                told.input_tokens is not None and told.output_tokens is not None
            ) or not self._may_have_cost():
                self._usage = told
            else:
                made = "".join((self.text, *(call.arguments for call in self.calls)))
                output = count(made, self.destination.model.upstream) if made else 0
                whole = input_tokens * (1 + self.continuations)
                self._usage = complete(told, input_tokens=whole, output_tokens=output)
            if self.under_way:
                lost = Usage(input_tokens=self.under_way, output_tokens=0, estimated=True)
                self._usage = total(self._usage, lost)
        return self._usage

    def _may_have_cost(self) -> bool:
        return self.failure is None or _may_cost(self.failure) or bool(self.text)

    def cleaned(self, answer: Answer) -> Answer:
        """An answer without our mark and without the provider's key."""
        if self.mark is None and self.secret is None:
            return answer
        return clean_answer(answer if self.mark is None else _unmarked(answer, self.mark), self.secret)

    def lose(self, failure: Failure | None) -> None:
        """A continuation has failed: the answer stays cut. Only what may have cost something counts.

        None: it broke off by an event of its own.
        """
        how = "" if failure is None else f": {failure.detail or failure.message}"
        self.lost = f"it could not be continued{without_places(self._without_secret(how), self.url)}"
        if failure is not None and not _may_cost(failure):
            self.under_way = 0

    def fail(self, failure: Failure) -> None:
        """Note how the attempt failed, without the secret and the addresses in what the provider said."""
        self.words = False
        self.failure = msgspec.structs.replace(
            failure,
            message=without_places(self._without_secret(failure.message), self.url),
            detail=without_places(self._without_secret(failure.detail), self.url),
        )

    def judged(self, verdict: Verdict) -> None:
        """Note the verdict on the answer. A model chooses the names that its violations quote."""
        validation, violation = verdict.validation, verdict.violation
        if verdict is WORDS:
            self.validation, self.words = validation, True
            return
        if validation.violations:
            lines = tuple(map(self._without_secret, validation.violations))
            validation = msgspec.structs.replace(validation, violations=lines)
        if violation is not None:
            violation = msgspec.structs.replace(violation, message=self._without_secret(violation.message))
        self.validation, self.violation = validation, violation
        if verdict.failure is not None:
            self.fail(verdict.failure)

    def attempt(self, now: float, input_tokens: int, count: Count) -> Attempt:
        """The record of the attempt, which ended at `now`."""
        step, failure, finish = self.step, self.failure, self._finish()
        usage = self.usage(input_tokens, count)
        # Nothing was ever sent, or no model was run: then it is certain that nothing is to be paid.
        free = self.free or (failure is not None and failure.unsent)
        # More than 15 keywords at once would cost Python a dict, three times the price of all the rest.
        found = Attempt(
            provider=step.provider,
            model=step.model,
            outcome="ok" if self.words else self._outcome(),
            started_at=self.started_at,
            latency_ms=milliseconds(now - self.began),
            region=step.region,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usage_estimated=usage.estimated,
            continuations=self.continuations,
            finish=finish,
            cost_usd=0.0 if free else cost_usd(usage, self.destination.model.price),
            validation=self.validation,
        )
        if self.left_out:
            found = msgspec.structs.replace(found, left_out=self.left_out)
        if self.words and not self.lost:
            return found
        return msgspec.structs.replace(
            found,
            ttft_ms=milliseconds(self.first - self.began) if self.first is not None else None,
            tool_calls=len(self.calls),
            refused=finish == "refusal" or self._refuses(),
            violations=self.validation.violations if self.validation is not None else (),
            status=failure.status if failure is not None else None,
            detail=(failure.detail or failure.message) if failure is not None else self.lost,
        )

    def _outcome(self) -> AttemptOutcome:
        if self.violation is not None:
            return "ok" if self.violation.final else "schema_invalid"
        return self.failure.outcome if self.failure is not None else "ok"

    def _told(self) -> Usage:
        if self.answer is not None:
            return self.answer.usage
        return self.flow.usage if self.flow is not None else Usage()

    def _finish(self) -> str | None:
        if self.answer is not None:
            return self.answer.finish
        ended = self.flow.finished if self.flow is not None else None
        return ended.finish if ended is not None else None

    def _refuses(self) -> bool:
        if self.answer is not None:
            return any(isinstance(part, Refusal) for part in self.answer.parts)
        return self.flow is not None and self.flow.refused

    def _without_secret(self, text: str) -> str:
        return without_pieces(text, self.secret)


def _may_cost(failure: Failure) -> bool:
    """Whether a call that failed so may have to be paid for."""
    return failure.outcome in _MAY_HAVE_COST and not failure.unsent


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
