"""Metrics: what one record adds to which series, and all series as a scraper reads them.

Source of the format: Prometheus, "Exposition formats", text format 0.0.4. A series is kept by the very text
that names it. Labels hold names of the config, versions and words of ours; never a tenant, a key or what a
caller wrote.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final, Literal

import re2
from msgspec import Struct
from msgspec.structs import replace

from interlock.live.amounts import OVERRIDES, REASKS, REQUESTS, Amount, of_record
from interlock.live.routes import RouteKey, is_traffic, route_key
from interlock.measures import is_open, measure
from interlock.types.record import Record

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
MOST_ROUTES: Final = 500
"""So many pairs of alias version and model have series of their own; later ones share one called `other`."""
OTHER: Final = RouteKey(alias="other", provider="other", model="other")

ALERTS: Final = "interlock_alerts_total"
BREACHED: Final = "interlock_breached"
EXPORTED: Final = "interlock_otlp_records_total"
WEBHOOKS: Final = "interlock_webhook_tries_total"
BREAKERS: Final = "interlock_breakers_opened_total"
RELOADS: Final = "interlock_reloads_total"
LOG_DROPPED: Final = "interlock_log_lines_dropped_total"
BACKLOG: Final = "interlock_records_not_counted_yet"
BUILD: Final = "interlock_build_info"


class Metric(Struct, frozen=True):
    """`labels` beside those of a route, where `of_route` says that it has them."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    of_route: bool = True
    labels: tuple[str, ...] = ()


ROUTE_LABELS: Final = ("alias", "alias_version", "provider", "model", "arm")
METRICS: Final[Mapping[str, Metric]] = {
    REQUESTS: Metric("counter", "Requests by how they ended.", labels=("status",)),
    "interlock_request_seconds": Metric(
        "histogram", "What callers waited for an answer, or until they left."
    ),
    "interlock_first_token_seconds": Metric("histogram", "From the call of the model to its first event."),
    "interlock_cost_usd_total": Metric("counter", "What requests cost, where the cost is known."),
    "interlock_cost_unknown_total": Metric("counter", "Requests of which nobody knows the cost."),
    "interlock_tokens_total": Metric("counter", "Tokens, as far as they are known.", labels=("direction",)),
    "interlock_fallbacks_total": Metric(
        "counter", "Requests that another model than the decided one answered."
    ),
    "interlock_validated_total": Metric("counter", "Requests whose answers our own checks have judged."),
    "interlock_validation_failed_total": Metric("counter", "Requests of which an answer failed a check."),
    "interlock_schema_checked_total": Metric("counter", "Requests whose answers a JSON Schema has judged."),
    "interlock_schema_invalid_total": Metric("counter", "Requests of which an answer broke its JSON Schema."),
    "interlock_refusals_total": Metric("counter", "Requests whose answer was a refusal."),
    "interlock_tool_calls_total": Metric("counter", "Tool calls in answers."),
    "interlock_denied_tool_calls_total": Metric(
        "counter", "Tool calls that models made and policy withheld."
    ),
    OVERRIDES: Metric("counter", "Feedback that an answer was overridden, by how.", labels=("override",)),
    REASKS: Metric(
        "counter",
        "Answers after which the caller asked again, or edited what it had asked.",
        labels=("noticed",),
    ),
    "interlock_attempts_total": Metric(
        "counter", "Calls of models, by outcome.", of_route=False, labels=("provider", "model", "outcome")
    ),
    BREAKERS: Metric(
        "counter",
        "How often a model was left alone because it kept failing, of all workers.",
        of_route=False,
        labels=("provider", "model", "endpoint"),
    ),
    ALERTS: Metric(
        "counter",
        "Alerts after releases, and what was done.",
        of_route=False,
        labels=("alias", "alias_version", "kind", "did"),
    ),
    BREACHED: Metric(
        "gauge",
        "1 while what is active breaches a guardrail, or its gate failed when it ran again.",
        of_route=False,
        labels=("alias", "alias_version", "what"),
    ),
    EXPORTED: Metric(
        "counter", "Records for OpenTelemetry: sent, failed, skipped.", of_route=False, labels=("result",)
    ),
    WEBHOOKS: Metric(
        "counter",
        "Events sent to webhooks: delivered, or failed and tried again.",
        of_route=False,
        labels=("webhook", "result"),
    ),
    RELOADS: Metric("counter", "Reloads of the config, of all workers.", of_route=False, labels=("result",)),
    LOG_DROPPED: Metric("counter", "Log lines that nobody took, of all workers.", of_route=False),
    BACKLOG: Metric("gauge", "Records that are in the store and in no counter yet.", of_route=False),
    BUILD: Metric("gauge", "The version that answers; always 1.", of_route=False, labels=("version",)),
}
"""Every metric that `/metrics` gives, in its order."""

_LE: Final = re2.compile(r'le="([^"]+)"')
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def series(name: str, labels: Mapping[str, object], route: RouteKey | None = None) -> str:
    """The text that names a series: `name{label="value",…}`, a route's labels first."""
    pairs = [f'{label}="{_escaped(value)}"' for label, value in labels.items()]
    text = ",".join(pairs if route is None else (_labels(route), *pairs))
    return f"{name}{{{text}}}" if text else name


@lru_cache(maxsize=1024)
def _labels(route: RouteKey) -> str:
    return ",".join(f'{label}="{_escaped(getattr(route, label))}"' for label in ROUTE_LABELS)


def routes_of(values: Iterable[str]) -> frozenset[str]:
    """The routes that have series, as their labels name them."""
    start = f"{REQUESTS}{{"
    return frozenset(
        text.removeprefix(start).rpartition(",status=")[0] for text in values if text.startswith(start)
    )


def within(route: RouteKey, known: AbstractSet[str]) -> RouteKey:
    """The route itself, or `OTHER` where it would be one too many beside the known ones."""
    return OTHER if _labels(route) not in known and len(known) >= MOST_ROUTES else route


def added(amount: Amount | None, known: AbstractSet[str]) -> dict[str, float]:
    """One amount, as what it adds to its series."""
    if amount is None:
        return {}
    return {_text(replace(amount, route=within(amount.route, known))): amount.value}


def _text(amount: Amount) -> str:
    return series(amount.name, {} if amount.label is None else dict((amount.label,)), amount.route)


def additions(records: Iterable[Record], known: AbstractSet[str]) -> dict[str, float]:
    """What records add to each series. `known` are the routes that have series already (`routes_of`)."""
    found: dict[str, float] = {}
    routes = set(known)
    for record in records:
        if not is_traffic(record):
            continue
        route = within(route_key(record), routes)
        routes.add(_labels(route))
        for text, amount in _of(record, route):
            found[text] = found.get(text, 0.0) + amount
    return found


def _of(record: Record, route: RouteKey) -> Iterable[tuple[str, float]]:
    yield from ((_text(amount), amount.value) for amount in of_record(record, route))
    if is_open(record):
        return
    one = measure(record)
    if one.latency_ms is not None:
        yield from _observed("interlock_request_seconds", one.latency_ms / 1000, route)
    if one.ttft_ms is not None:
        yield from _observed("interlock_first_token_seconds", one.ttft_ms / 1000, route)
    for attempt in record.attempts:
        labels = {"provider": attempt.provider, "model": attempt.model, "outcome": attempt.outcome}
        yield series("interlock_attempts_total", labels), 1


def _observed(name: str, value: float, route: RouteKey) -> Iterable[tuple[str, float]]:
    for bound in BUCKETS_S:
        yield series(f"{name}_bucket", {"le": f"{bound:g}"}, route), float(value <= bound)
    yield series(f"{name}_bucket", {"le": "+Inf"}, route), 1
    yield series(f"{name}_sum", {}, route), value
    yield series(f"{name}_count", {}, route), 1


def render(values: Mapping[str, float]) -> bytes:
    """All series as text, with what each metric is; a metric without a series is only described."""
    by_name: dict[str, list[str]] = {}
    for text in values:
        by_name.setdefault(text.partition("{")[0], []).append(text)
    lines: list[str] = []
    for name, metric in METRICS.items():
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        for part in parts:
            lines += [
                f"{text} {values[text]:.17g}" for text in sorted(by_name.get(name + part, ()), key=_place)
            ]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _place(text: str) -> tuple[str, float]:
    """Buckets of one series stand together, from the lowest bound to the highest."""
    found = _LE.search(text)
    return (text, 0.0) if found is None else (text.replace(found[0], ""), float(found[1]))


def _escaped(value: object) -> str:
    return str(value).translate(_ESCAPES)
