"""Records as OpenTelemetry: a span for each request, one below it for each call, three histograms, and the
counters of routes.

Pure: values that JSON-encode to an OTLP/HTTP request. Source: opentelemetry-proto 1.x, JSON encoding
(64-bit integers are text, ids are hexadecimal). Nothing here is content, a key, a session or a tenant.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final

from interlock.live import semconv
from interlock.live.amounts import Amount, of_record
from interlock.live.routes import RouteKey, route_key
from interlock.types.record import Attempt, Record

DURATION_BOUNDS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
"""Bounds that the conventions recommend: docs/gen-ai/gen-ai-metrics."""

SCOPE: Final = "interlock"
_INTERNAL, _CLIENT = 1, 3
_ERROR: Final = 2
_DELTA: Final = 1

Pairs = Iterable[tuple[str, Any]]
Describe = Callable[[str, str], tuple[str, str]]
"""From our names of a provider and a model to what the conventions call the one, and the vendor the other."""


def resource(version: str, instance: str) -> dict[str, Any]:
    """Who reports: `instance` is one process, so that sums of several are told apart."""
    pairs = (("service.name", SCOPE), ("service.version", version), ("service.instance.id", instance))
    return {"attributes": attributes(pairs)}


def traces(records: Sequence[Record], describe: Describe, whose: dict[str, Any]) -> dict[str, Any]:
    """The body of `/v1/traces`."""
    spans = [span for record in records for span in _spans(record, describe)]
    scope = {"scope": {"name": SCOPE}, "schemaUrl": semconv.SCHEMA_URL, "spans": spans}
    return {"resourceSpans": [{"resource": whose, "scopeSpans": [scope]}]}


def metrics(
    records: Sequence[Record],
    describe: Describe,
    whose: dict[str, Any],
    start_ns: int,
    end_ns: int,
    late: Sequence[Amount] = (),
) -> dict[str, Any]:
    """The body of `/v1/metrics`: what these records add (delta), within two instants, and what became known
    of earlier ones.
    """
    points: dict[str, dict[tuple[tuple[str, Any], ...], list[float]]] = {name: {} for name in semconv.UNITS}
    for record in records:
        for attempt in record.attempts:
            for name, extra, value in _observations(record, attempt):
                pairs = (*_described(record, attempt, describe), *extra)
                points[name].setdefault(pairs, []).append(value)
    found = [
        {
            "name": name,
            "unit": semconv.UNITS[name],
            "histogram": {
                "aggregationTemporality": _DELTA,
                "dataPoints": [
                    _point(name, pairs, values, start_ns, end_ns) for pairs, values in of_name.items()
                ],
            },
        }
        for name, of_name in points.items()
        if of_name
    ]
    found += _sums(records, late, start_ns, end_ns)
    scope = {"scope": {"name": SCOPE}, "schemaUrl": semconv.SCHEMA_URL, "metrics": found}
    return {"resourceMetrics": [{"resource": whose, "scopeMetrics": [scope]}]}


def _sums(
    records: Sequence[Record], late: Sequence[Amount], start_ns: int, end_ns: int
) -> list[dict[str, Any]]:
    """The counters of routes, as `/metrics` has them: by alias version, provider, model and arm."""
    points: dict[str, dict[tuple[tuple[str, Any], ...], float]] = {}
    amounts = chain.from_iterable(of_record(record, route_key(record)) for record in records)
    for amount in chain(amounts, late):
        name = f"{SCOPE}.{amount.name.removeprefix('interlock_').removesuffix('_total')}"
        label = () if amount.label is None else ((f"{SCOPE}.{amount.label[0]}", amount.label[1]),)
        pairs = (*_of_route(amount.route), *label)
        of_name = points.setdefault(name, {})
        of_name[pairs] = of_name.get(pairs, 0.0) + amount.value
    return [
        {
            "name": name,
            "unit": "1",
            "sum": {
                "aggregationTemporality": _DELTA,
                "isMonotonic": True,
                "dataPoints": [
                    {
                        "attributes": attributes(pairs),
                        "startTimeUnixNano": str(start_ns),
                        "timeUnixNano": str(end_ns),
                        "asDouble": float(value),
                    }
                    for pairs, value in of_name.items()
                ],
            },
        }
        for name, of_name in points.items()
    ]


def _of_route(route: RouteKey) -> tuple[tuple[str, Any], ...]:
    return (
        ("interlock.alias", route.alias or None),
        ("interlock.alias_version", route.alias_version or None),
        ("interlock.provider", route.provider or None),
        ("interlock.model", route.model or None),
        ("interlock.arm", route.arm),
    )


def attributes(pairs: Pairs) -> list[dict[str, Any]]:
    """Attributes as OTLP writes them; None is unknown and left out."""
    return [{"key": key, "value": _value(value)} for key, value in pairs if value is not None]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case tuple():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case _:
            return {"stringValue": str(value)}


def _spans(record: Record, describe: Describe) -> Iterable[dict[str, Any]]:
    decision = record.decision
    digest = hashlib.sha256(decision.id.encode("utf-8")).hexdigest()
    trace, parent = digest[:32], digest[32:48]
    latency_ms = record.budgets_used.get("deadline_ms", 0.0)
    yield {
        "traceId": trace,
        "spanId": parent,
        "name": f"interlock {decision.signals.endpoint}",
        "kind": _INTERNAL,
        **_times(decision.created_at, latency_ms),
        "attributes": attributes(_of_request(record)),
        "status": {"code": _ERROR} if record.status == "failed" else {},
    }
    for place, attempt in enumerate(record.attempts):
        operation, model = _operation(record), describe(attempt.provider, attempt.model)[1]
        own = hashlib.sha256(f"{decision.id}/{place}".encode()).hexdigest()[:16]
        yield {
            "traceId": trace,
            "spanId": own,
            "parentSpanId": parent,
            "name": f"{operation} {model}",
            "kind": _CLIENT,
            **_times(attempt.started_at, attempt.latency_ms),
            "attributes": attributes((*_described(record, attempt, describe), *_of_call(record, attempt))),
            "status": {"code": _ERROR} if attempt.outcome != "ok" else {},
        }


def _of_request(record: Record) -> Pairs:
    return (
        ("interlock.decision.id", record.decision.id),
        ("interlock.status", record.status),
        *_of_route(route_key(record)),
        ("interlock.attempts", len(record.attempts)),
        ("interlock.fallbacks", record.fallbacks_taken or None),
        ("interlock.validation", record.validation.verdict if record.validation is not None else None),
        ("interlock.cost_usd", record.cost_usd),
    )


def _described(record: Record, attempt: Attempt, describe: Describe) -> tuple[tuple[str, Any], ...]:
    """What spans and points of a call have in common."""
    provider, model = describe(attempt.provider, attempt.model)
    return (
        (semconv.OPERATION, _operation(record)),
        (semconv.PROVIDER, provider),
        (semconv.REQUEST_MODEL, model),
        (semconv.ERROR_TYPE, None if attempt.outcome == "ok" else attempt.outcome),
    )


def _of_call(record: Record, attempt: Attempt) -> Pairs:
    ttft_ms = attempt.ttft_ms
    return (
        (semconv.MAX_TOKENS, record.decision.signals.max_output_tokens),
        (semconv.STREAM, record.decision.signals.stream),
        (semconv.FINISH_REASONS, (attempt.finish,) if attempt.finish else None),
        (semconv.FIRST_CHUNK, ttft_ms / 1000 if ttft_ms is not None else None),
        (semconv.INPUT_TOKENS, attempt.input_tokens),
        (semconv.CACHED_TOKENS, attempt.cached_tokens),
        (semconv.OUTPUT_TOKENS, attempt.output_tokens),
        (semconv.REASONING_TOKENS, attempt.reasoning_tokens),
        ("interlock.cost_usd", attempt.cost_usd),
    )


def _observations(record: Record, attempt: Attempt) -> Iterable[tuple[str, Pairs, float]]:
    yield semconv.DURATION, (), attempt.latency_ms / 1000
    if record.decision.signals.stream and attempt.ttft_ms is not None:
        yield semconv.FIRST_CHUNK_METRIC, (), attempt.ttft_ms / 1000
    for kind, tokens in (("input", attempt.input_tokens), ("output", attempt.output_tokens)):
        if tokens is not None:
            yield semconv.TOKEN_USAGE, ((semconv.TOKEN_TYPE, kind),), float(tokens)


def _point(name: str, pairs: Pairs, values: list[float], start_ns: int, end_ns: int) -> Mapping[str, Any]:
    bounds = TOKEN_BOUNDS if name == semconv.TOKEN_USAGE else DURATION_BOUNDS
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return {
        "attributes": attributes(pairs),
        "startTimeUnixNano": str(start_ns),
        "timeUnixNano": str(end_ns),
        "count": str(len(values)),
        "sum": sum(values),
        "bucketCounts": [str(count) for count in counts],
        "explicitBounds": list(bounds),
    }


def _operation(record: Record) -> str:
    return semconv.OPERATIONS.get(record.decision.signals.endpoint, semconv.CHAT)


def _times(started: str, latency_ms: float) -> dict[str, str]:
    moment = datetime.fromisoformat(started)
    start_ns = int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1000
    return {
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(latency_ms * 1_000_000)),
    }
