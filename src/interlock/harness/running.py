"""Runs a suite: cases in parallel, within a budget, each sample kept as soon as it is there.

A sample is kept under a key of everything that could change it: the case, the model's identity, the policy
that it ran under, and which repeat it is. So a run that was killed goes on where it was, and what was
measured once is not paid for again. Samples of cases that nobody answered are not kept: the next run asks
again.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.evals.decode import request_headers
from interlock.evals.episode import first_body, is_episode, next_body
from interlock.evals.graders import judge as judging
from interlock.evals.identity import are_related, digest, identity
from interlock.evals.measures import Outside, Scored, score, seen_of
from interlock.evals.sample import Sample, State, Turn
from interlock.evals.seen import Judgement, Seen
from interlock.evals.suite import Case, Suite
from interlock.harness.asking import Asked, Asker
from interlock.harness.functions import load_functions
from interlock.store.sqlite import Store
from interlock.wiring import now_us

CONCURRENCY: Final = 8
OVER_BUDGET: Final = "the run's budget is spent"
NOT_KEPT: Final = "nobody answered it then"
_LANE_PARTS: Final = ("lanes", "tools", "latency_classes", "sources", "classification")


class Progress(Struct, frozen=True, kw_only=True):
    """How far a run is. `spent_usd` leaves out calls whose cost is unknown."""

    done: int
    total: int
    cached: int
    spent_usd: float


Report = Callable[[Progress], None]


class Run(Struct, frozen=True, kw_only=True):
    """A suite run with one model: every sample with its grades."""

    suite: Suite
    model: str
    scored: tuple[Scored, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        return tuple(row.sample for row in self.scored)

    @property
    def digest(self) -> str:
        """A hash over everything that was answered, for a gate's record."""
        return digest(sorted((sample.key, digest(sample)) for sample in self.samples))


class Purse:
    """Mutable: what a run has spent of its budget. None is no limit.

    Asked before each case: nothing new is begun once what was spent, and twice the dearest case for each one
    under way, is more than there is. What is under way is finished, so it may end above by little.
    """

    def __init__(self, limit_usd: float | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self._dearest = 0.0
        self._under_way = 0

    def begin(self) -> bool:
        """Whether one more case can be paid for; it counts as under way then."""
        if self.limit_usd is not None:
            expected = self.spent_usd + 2 * self._dearest * (self._under_way + 1)
            if self.spent_usd >= self.limit_usd or expected > self.limit_usd:
                return False
        self._under_way += 1
        return True

    def end(self, cost_usd: float) -> None:
        self._under_way -= 1
        self.spent_usd += cost_usd
        self._dearest = max(self._dearest, cost_usd)


class Harness:
    """Runs suites in one event loop, over one store, out of one purse."""

    def __init__(
        self,
        asker: Asker,
        store: Store,
        *,
        purse: Purse,
        concurrency: int = CONCURRENCY,
        report: Report = lambda _: None,
    ) -> None:
        self._asker = asker
        self._store = store
        self._purse = purse
        self._slots = asyncio.Semaphore(concurrency)
        self._report = report
        self._done = self._total = self._cached = 0

    @property
    def config(self) -> Config:
        return self._asker.config

    async def run(self, suite: Suite, model: str, name: str | None = None) -> Run:
        """Ask every case as often as the suite says, and grade. Raises ApiError for a case that is none.

        With a `name`, samples are those of this run alone: none that was kept before is taken for it.
        """
        wanted = _wanted(suite)
        self._total += len(wanted)
        # Under a budget the first case goes alone: what it costs is what the others are expected to.
        ahead = 1 if self._purse.limit_usd is not None else 0
        samples = [await self._sample(case, model, repeat, name) for case, repeat in wanted[:ahead]]
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._sample(case, model, repeat, name)) for case, repeat in wanted[ahead:]
            ]
        return await self._graded(suite, model, samples + [task.result() for task in asked])

    async def kept(self, suite: Suite, model: str, config: Config, name: str | None = None) -> Run | None:
        """A run as it was kept, under the config that it ran under; None where nothing of it is there.

        A case that nobody answered then was not kept, and is unknown now.
        """
        samples = []
        for case, repeat in _wanted(suite):
            key = _key(config, case.hash, model, repeat, name)
            found = self._store.eval_sample(key)
            if found is None:
                samples.append(_unavailable(key, case, model, repeat, NOT_KEPT))
            else:
                samples.append(self._as_case(msgspec.json.decode(found, type=Sample), case))
        if all(sample.error == NOT_KEPT for sample in samples):
            return None
        return await self._graded(suite, model, samples)

    async def _graded(self, suite: Suite, model: str, samples: list[Sample]) -> Run:
        judges = [spec for spec in suite.graders if isinstance(spec, judging.Judge)]
        related = frozenset(spec.model for spec in judges if self._is_related(spec.model, samples, model))
        judgements = await self._judge(judges, seen_of(suite, samples, Outside(related=related)))
        outside = Outside(judgements=judgements, functions=load_functions(suite.graders), related=related)
        return Run(suite=suite, model=model, scored=score(suite, samples, outside))

    def _is_related(self, judge: str, samples: Iterable[Sample], model: str) -> bool:
        """Whether a judge is of the family of a model that has answered, or might have."""
        answered = {turn.model for sample in samples for turn in sample.turns if turn.model is not None}
        return any(
            are_related(self.config, one, other)
            for one in self._asker.models_behind(judge)
            for other in (*self._asker.models_behind(model), *answered)
        )

    async def _sample(self, case: Case, model: str, repeat: int, name: str | None) -> Sample:
        key = _key(self.config, case.hash, model, repeat, name)
        kept = self._store.eval_sample(key)
        if kept is not None:
            self._cached += 1
            return self._finished(self._as_case(msgspec.json.decode(kept, type=Sample), case))
        async with self._slots:
            if not self._purse.begin():
                return self._finished(_unavailable(key, case, model, repeat, OVER_BUDGET))
            spent = 0.0
            try:
                found = await self._play(key, case, model, repeat)
                spent = sum(turn.cost_usd or 0.0 for turn in found.turns)
            finally:
                self._purse.end(spent)
        if found.state != "unavailable":
            await self._store.put_eval_sample(key, now_us(), model, msgspec.json.encode(found))
        return self._finished(found)

    def _finished(self, sample: Sample) -> Sample:
        self._done += 1
        self._report(
            Progress(done=self._done, total=self._total, cached=self._cached, spent_usd=self._purse.spent_usd)
        )
        return sample

    def _as_case(self, sample: Sample, case: Case) -> Sample:
        """The same answers may belong to a case that is called otherwise by now."""
        return msgspec.structs.replace(sample, case=case.id, family=case.family)

    async def _play(self, key: str, case: Case, model: str, repeat: int) -> Sample:
        """The case from its first request to its end: one request, or an episode with mocked tools."""
        turns: list[Turn] = []
        body = first_body(case)
        first: Asked | None = None
        error: str | None = None
        state: State = "answered"
        for _ in range(case.max_turns):
            asked = await self._asker.ask(model, body, request_headers(case))
            first = first or asked
            turns.append(asked.turn)
            state, error = asked.state, asked.error
            if state != "answered" or not asked.turn.calls or not is_episode(case):
                break
            body = next_body(case, body, asked.parts)
        else:
            state, error = "failed", f"still calling tools after {case.max_turns} turns"
        return Sample(
            key=key,
            case=case.id,
            family=case.family,
            model=model,
            repeat=repeat,
            state=state,
            turns=tuple(turns),
            posture=first.posture if first is not None else None,
            error=error,
        )

    async def _judge(self, judges: Iterable[judging.Judge], seen: tuple[Seen, ...]) -> dict[str, Judgement]:
        """Every judge's reply to every prompt, by the prompt's hash."""
        found: dict[str, Judgement] = {}

        async def one(model: str, messages: list[dict[str, Any]]) -> None:
            found[judging.digest(messages)] = await self._judgement(model, messages)

        async with asyncio.TaskGroup() as group:
            for spec in judges:
                for looked_at in seen:
                    for messages in judging.prompts(spec, looked_at):
                        group.create_task(one(spec.model, messages))
        return found

    async def _judgement(self, model: str, messages: list[dict[str, Any]]) -> Judgement:
        key = _key(self.config, judging.digest(messages), model, -1, None)
        kept = self._store.eval_sample(key)
        if kept is not None:
            return msgspec.json.decode(kept, type=Judgement)
        async with self._slots:
            if not self._purse.begin():
                return Judgement(text=None, error=OVER_BUDGET)
            spent = 0.0
            try:
                asked = await self._asker.ask(model, {"messages": messages}, {})
                spent = asked.turn.cost_usd or 0.0
            except ApiError as error:
                return Judgement(text=None, error=error.message)
            finally:
                self._purse.end(spent)
        if asked.state != "answered":
            return Judgement(text=None, error=asked.error or "no answer")
        reply = Judgement(text=asked.turn.text)
        await self._store.put_eval_sample(key, now_us(), model, msgspec.json.encode(reply))
        return reply


def _unavailable(key: str, case: Case, model: str, repeat: int, why: str) -> Sample:
    return Sample(
        key=key,
        case=case.id,
        family=case.family,
        model=model,
        repeat=repeat,
        state="unavailable",
        turns=(),
        error=why,
    )


def _wanted(suite: Suite) -> list[tuple[Case, int]]:
    """Every case, as often as the suite asks it."""
    return [(case, repeat) for repeat in range(suite.repeats) for case in suite.cases]


def _key(config: Config, asked: str, model: str, repeat: int, name: str | None) -> str:
    """What a sample is kept under: what was asked, of whom, under which policy and lanes, and which time.

    A run with a name has samples of its own.
    """
    whom: Any = identity(config, model) if model in config.models else (model, config.config_hash)
    under = (config.policy_hash, [getattr(config, part) for part in _LANE_PARTS])
    return digest((asked, whom, under, repeat) if name is None else (asked, whom, under, repeat, name))
