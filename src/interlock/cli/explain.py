"""A decision in words: what was chosen and why, for somebody who has to know at three in the morning.

Pure: a record goes in, lines come out. A line that does not start with a space is a heading or a
sentence of its own; details stand below it, indented. Says only what the record knows: an unknown
cost or token count is called unknown.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from interlock.types.decision import Decision, FallbackStep
from interlock.types.record import Attempt, Record

ENDED: Final = {
    "ok": "answered",
    "failed": "failed",
    "denied": "refused",
    "cancelled": "cancelled by the caller",
    "dry_run": "decided only, nothing was sent",
}
ATTEMPT: Final = {
    "ok": "answered",
    "timeout": "timed out",
    "connect_failed": "could not be reached",
    "upstream_error": "failed on its side",
    "rate_limited": "said it is rate limited",
    "context_length": "said the input is too long",
    "content_filtered": "was stopped by the vendor's content filter",
    "malformed": "gave an answer that makes no sense",
    "schema_invalid": "gave an answer that breaks the schema",
    "cancelled": "was cancelled",
}
FAILED_BY: Final = {
    "timeout_or_5xx": "cannot be reached, times out or fails on its side",
    "rate_limit": "is rate limited",
    "context_length": "finds the input too long",
    "content_filter": "is stopped by its vendor's content filter",
    "schema_invalid": "gives an answer that breaks the schema",
    "budget": "would cost too much",
    "not_permitted": "may not serve",
    "any": "fails in any way",
}
LIMITS: Final = {
    "max_input_tokens": "at most {} input tokens",
    "max_output_tokens": "at most {} output tokens",
    "max_tool_calls": "at most {} tool calls in an answer",
    "deadline_ms": "{} to the end of the answer",
    "first_token_ms": "{} to the first token",
    "max_attempts": "at most {} attempts, retries and fallbacks together",
    "max_cost_usd": "at most {}",
}


def explain(record: Record, *, stands_for: str | None = None) -> tuple[str, ...]:
    """The whole story of one record.

    `stands_for` is the model that the name asked for stood for at the time, where the reader knows
    it; with it a stand-in can be told from the model that was meant.
    """
    decision = record.decision
    return (
        f"{decision.id}: {headline(record)}",
        *_section("Why", because(decision, stands_for=stands_for)),
        *_section("What was asked", _asked(decision)),
        *_section("What was found out", _signals(decision)),
        *_section("Left out", _dropped(decision)),
        *_section("Limits", limits(decision)),
        *_section("Tools", _tools(decision)),
        *_section("Handling", _handling(decision)),
        *_section("If it fails", _fallbacks(decision)),
        *_section("What happened", _attempts(record)),
        *_section("How it ended", _ending(record)),
        *_section("To compute it again", _provenance(decision)),
    )


def headline(record: Record) -> str:
    """One sentence: who was chosen, or that nobody may serve, and how it ended."""
    decision = record.decision
    if record.shadow_of is not None:
        plain = headline(replace(record, shadow_of=None))
        return f"follows {record.shadow_of}, and nobody has seen its answer: {plain}"
    if decision.route is None:
        return f"{ENDED[record.status]}; nobody may serve it."
    chosen = _deployment(decision.route.provider, decision.route.model, decision.route.region)
    served = next((a for a in reversed(record.attempts) if a.outcome == "ok"), None)
    instead = chosen if served is None else _deployment(served.provider, served.model, served.region)
    if record.status == "ok" and instead != chosen:
        return f"answered by {instead}, after {chosen} had failed."
    if record.status == "ok":
        return f"answered by {chosen}."
    return f"{ENDED[record.status]}; the choice was {chosen}."


def because(decision: Decision, *, stands_for: str | None = None) -> Iterator[str]:
    """Why this model and no other, in one to three sentences."""
    why, route = decision.why, decision.route
    if route is None:
        yield why.denied or "every candidate was left out."
        return
    left_out = [drop for drop in why.dropped if drop.model == stands_for]
    if left_out and stands_for != route.model and why.selected_by != "pin":
        yield _selected(decision, stands_for)
        yield f"`{stands_for}` may not serve this: {left_out[0].why} ({left_out[0].rule})."
        yield f"`{route.model}` stands in for it, by a fallback for that case."
    else:
        yield _selected(decision)
    if why.degrade_mode != "none":
        yield f"The system was degraded at the time: {why.degrade_mode}."
    if why.rules:
        yield f"Rules that applied: {', '.join(why.rules)}."


def _selected(decision: Decision, stands_for: str | None = None) -> str:
    """Which name led here. With `stands_for` an alias is said to be of that model, not of who serves."""
    why, route, asked = decision.why, decision.route, decision.signals.model
    assert route is not None
    version = f" (version {route.alias_version})" if route.alias_version is not None else ""
    match why.selected_by:
        case "alias" | "canary":
            if stands_for is not None:
                return f"`{asked}` is an alias{version} of `{stands_for}`."
            arm = ", on its canary arm" if why.selected_by == "canary" else ""
            return f"`{asked}` is an alias{version}; it leads to `{route.model}`{arm}."
        case "model":
            return f"`{asked}` was asked for by name."
        case "lane":
            return f"The lane `{route.lane}` takes this request, and `{route.model}` comes first in it."
        case "rule":
            return (
                f"A rule puts this request into the lane `{route.lane}`, where `{route.model}` comes first."
            )
        case "pin":
            return (
                f"A rule pins this request to `{route.model}`; nothing else may serve, as a fallback neither."
            )
        case "default":
            via = f", the alias `{route.alias}`{version}" if route.alias is not None else ""
            return f"`{asked}` found no lane, so the default serves{via}."
        case "session":
            return f"This session was served by `{route.model}` before."
        case "learned":
            return f"Learned routing chose `{route.model}` in the lane `{route.lane}`."


def _asked(decision: Decision) -> Iterator[str]:
    signals = decision.signals
    how = "streamed" if signals.stream else "not streamed"
    tokens = f"{signals.input_tokens} input tokens"
    if signals.input_tokens_estimated:
        tokens = f"about {tokens}"
    yield f"`{signals.model}` over {signals.endpoint}, {how}, {tokens}"
    who = [f"tenant {signals.tenant}", f"role {signals.role}"]
    who += [f"key {signals.key}"] if signals.key is not None else ["no key"]
    who += [f"team {signals.team}"] if signals.team is not None else []
    who += [f"user tier {signals.user_tier}"] if signals.user_tier is not None else []
    yield f"by {', '.join(who)}"
    if signals.residency:
        yield f"its data must stay within {', '.join(signals.residency)}"
    if signals.needs:
        yield f"a model has to be able to do: {', '.join(signals.needs)}"


def _signals(decision: Decision) -> Iterator[str]:
    signals, policy = decision.signals, decision.policy
    yield f"data class {policy.data_class}, content {policy.trust}, risk {policy.risk_tier}"
    if policy.risk_tier != signals.risk_tier:
        yield f"the risk was {signals.risk_tier} before policy and lane raised it"
    yield f"latency class {policy.latency_class}, task {signals.task}, difficulty {signals.difficulty}"
    for finding in signals.findings:
        times = f"{finding.count} times " if finding.count > 1 else ""
        yield f"a detector found {finding.kind} {times}in {finding.where}"


def _dropped(decision: Decision) -> Iterator[str]:
    for drop in decision.why.dropped:
        yield f"`{drop.model}`: {drop.why} ({drop.rule})"


def limits(decision: Decision) -> Iterator[str]:
    """Every limit that is set, and who set it."""
    budgets, who = decision.budgets, decision.why.limits
    for name, words in LIMITS.items():
        value = getattr(budgets, name)
        if value is not None:
            yield words.format(_amount(name, value)) + _set_by(who.get(name))
    for effect, count in budgets.max_tool_calls_by_effect.items():
        yield f"at most {_calls(count)} with the effect {effect}" + _set_by(
            who.get(f"max_tool_calls_by_effect.{effect}")
        )
    for effect, count in budgets.unattended.items():
        yield f"at most {_calls(count)} with the effect {effect} without a human" + _set_by(
            who.get(f"unattended.{effect}")
        )
    if budgets.service_tier != "standard":
        yield f"service tier {budgets.service_tier}"


def _tools(decision: Decision) -> Iterator[str]:
    policy = decision.policy
    if policy.tools_allowed:
        yield f"allowed: {', '.join(policy.tools_allowed)}"
    for denied in policy.tools_denied:
        yield f"taken out: {denied.tool}, {denied.why} ({denied.rule})"
    if policy.requires_approval_for:
        yield f"a human approves each call of: {', '.join(policy.requires_approval_for)}"
    if policy.step_up_for:
        yield f"a stronger sign-in is needed for: {', '.join(policy.step_up_for)}"


def _handling(decision: Decision) -> Iterator[str]:
    policy = decision.policy
    if (policy.safety_mode, policy.layout, policy.logging) != ("standard", "plain", "full"):
        yield f"safety mode {policy.safety_mode}, layout {policy.layout}, logging {policy.logging}"
    for entry in policy.escalation:
        yield f"on {entry.when} it goes up to {entry.to}"


def _fallbacks(decision: Decision) -> Iterator[str]:
    for step in decision.cascade[1:]:
        yield f"the cascade goes on with {_deployment(step.provider, step.model, None)}"
    for fallback in decision.fallbacks:
        yield _fallback(fallback)


def _fallback(step: FallbackStep) -> str:
    target = _deployment(step.provider, step.model, step.region)
    before = "a model before it" if step.from_ == "*" else f"`{step.from_}`"
    return f"{target}, if {before} {FAILED_BY[step.when]}"


def _attempts(record: Record) -> Iterator[str]:
    for skipped in record.skipped:
        yield f"`{skipped.model}` was not called: {skipped.why} ({skipped.rule})"
    for number, attempt in enumerate(record.attempts, 1):
        yield f"{number}. {_deployment(attempt.provider, attempt.model, attempt.region)} {_attempt(attempt)}"
        if attempt.violations:
            yield f"   violations: {', '.join(attempt.violations)}"
        if attempt.left_out:
            yield f"   left out of what it was sent: {', '.join(attempt.left_out)}"


def _attempt(attempt: Attempt) -> str:
    said = [f"{ATTEMPT[attempt.outcome]} after {duration(attempt.latency_ms)}"]
    if attempt.status is not None and attempt.outcome != "ok":
        said.append(f"status {attempt.status}")
    if attempt.detail:
        said.append(attempt.detail)
    if attempt.ttft_ms is not None:
        said.append(f"first token {duration(attempt.ttft_ms)}")
    if attempt.input_tokens is not None or attempt.output_tokens is not None:
        about = "about " if attempt.usage_estimated else ""
        said.append(f"{about}{_count(attempt.input_tokens)} tokens in, {_count(attempt.output_tokens)} out")
    if attempt.continuations:
        times = "once" if attempt.continuations == 1 else f"{attempt.continuations} times"
        said.append(f"cut by its length and continued {times}")
    if attempt.tool_calls:
        said.append(_calls(attempt.tool_calls))
    if attempt.refused:
        said.append("the model refused")
    if attempt.outcome == "ok":
        said.append(f"cost {money(attempt.cost_usd)}")
    return ", ".join(said)


def _ending(record: Record) -> Iterator[str]:
    if record.error is not None:
        yield f"the caller was told: {record.error}"
    if record.counted is not None:
        by = "the provider" if record.counted.by == "provider" else "our own tokenizer"
        why = f", since {record.counted.why}" if record.counted.why is not None else ""
        yield f"counted: {record.counted.input_tokens} input tokens, by {by}{why}"
    if record.attempts:
        yield f"cost: {money(record.cost_usd)}"
    elif record.status in ("dry_run", "denied"):
        yield "nothing was sent to any model, so it cost nothing"
    found = record.validation
    if found is not None and (found.checks or found.violations or found.triggers):
        yield f"validation: {found.verdict}; checked: {', '.join(found.checks) or 'nothing'}"
        if found.triggers:
            yield f"   triggers: {', '.join(found.triggers)}"
    if record.outcome is not None:
        said = ", ".join(f"{name} {value}" for name, value in record.outcome.items() if value is not None)
        yield f"feedback: {said}"


def _provenance(decision: Decision) -> Iterator[str]:
    known = decision.provenance
    yield f"config {known.config_hash[:12]}, policy {known.policy_hash[:12]}, world {known.world_hash[:12]}"
    yield f"decided at {decision.created_at} by router {known.router_version}, draw {known.draw:.6f}"


def money(usd: float | None) -> str:
    """An amount with as many places as it needs and at least two, or that it is unknown."""
    if usd is None:
        return "unknown"
    if usd == 0:
        return "$0"
    whole, _, places = f"{usd:.4f}".partition(".") if usd >= 0.01 else f"{usd:.9f}".partition(".")
    return f"${whole}.{places.rstrip('0').ljust(2, '0')}"


def duration(ms: float) -> str:
    """Milliseconds as a person says them."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.3g} s"
    return f"{ms / 60_000:.3g} min"


def _amount(name: str, value: float) -> str:
    if name.endswith("_ms"):
        return duration(value)
    return money(value) if name.endswith("_usd") else str(value)


def _calls(count: int) -> str:
    return f"{count} tool call" if count == 1 else f"{count} tool calls"


def _set_by(source: str | None) -> str:
    return f", set by {source}" if source is not None else ""


def _count(tokens: int | None) -> str:
    return "unknown" if tokens is None else str(tokens)


def _deployment(provider: str, model: str, region: str | None) -> str:
    return f"`{model}` of {provider}" + (f" in {region}" if region is not None else "")


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    """A heading and its lines, or nothing where there is nothing to say."""
    said = [f"  {line}" for line in lines]
    if said:
        yield f"{title}:"
        yield from said
