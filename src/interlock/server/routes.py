"""The route table: every path that exists, by method, and the least role that may call it."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from interlock.errors import ApiError
from interlock.server import (
    alerts,
    aliases,
    counting,
    decisions,
    health,
    inference,
    kept,
    live,
    metrics,
    models,
    rollouts,
)
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.types.labels import Role

Handle = Callable[[Gateway, Exchange], Awaitable[None]]


class Route(Struct, frozen=True):
    """`name` is the path with `{…}` for its variable segments. Role None is open to everybody."""

    method: str
    name: str
    role: Role | None
    handle: Handle

    def params(self, path: str) -> tuple[str, ...]:
        """The values of the variable segments, decoded."""
        if self.name == path:
            return ()
        pairs = zip(self.name.split("/"), path.split("/"), strict=True)
        return tuple(unquote(segment) for pattern, segment in pairs if pattern.startswith("{"))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/healthz", None, health.alive),
    Route("GET", "/readyz", None, health.ready),
    Route("HEAD", "/healthz", None, health.alive),
    Route("HEAD", "/readyz", None, health.ready),
    Route("POST", "/v1/chat/completions", "user", inference.chat),
    Route("POST", "/v1/messages", "user", inference.messages),
    Route("POST", "/v1/messages/count_tokens", "user", counting.count_tokens),
    Route("POST", "/v1/responses", "user", inference.responses),
    Route("GET", "/v1/responses/{id}", "user", kept.show),
    Route("DELETE", "/v1/responses/{id}", "user", kept.delete),
    Route("GET", "/v1/responses/{id}/input_items", "user", kept.list_input),
    Route("POST", "/v1/embeddings", "user", inference.embeddings),
    Route("GET", "/v1/models", "user", models.list_models),
    Route("GET", "/v1/models/{id}", "user", models.show_model),
    Route("POST", "/v1/decisions", "user", decisions.dry_run),
    Route("GET", "/v1/decisions", "user", decisions.list_records),
    Route("GET", "/v1/decisions/{id}", "user", decisions.show_record),
    Route("POST", "/v1/decisions/{id}/outcome", "user", decisions.put_outcome),
    Route("GET", "/v1/aliases", "operator", aliases.list_aliases),
    Route("GET", "/v1/aliases/{name}", "operator", aliases.show_alias),
    Route("POST", "/v1/aliases/{name}/promote", "operator", aliases.promote),
    Route("POST", "/v1/aliases/{name}/rollback", "operator", aliases.roll_back),
    Route("GET", "/v1/aliases/{name}/watch", "operator", alerts.show_watch),
    Route("GET", "/v1/alerts", "operator", alerts.list_alerts),
    Route("GET", "/v1/routes", "operator", live.show_routes),
    Route("GET", "/metrics", "operator", metrics.show_metrics),
    Route("POST", "/v1/rollouts", "operator", rollouts.start),
    Route("GET", "/v1/rollouts", "operator", rollouts.list_rollouts),
    Route("GET", "/v1/rollouts/{id}", "operator", rollouts.show),
    Route("POST", "/v1/rollouts/{id}/pause", "operator", rollouts.act),
    Route("POST", "/v1/rollouts/{id}/resume", "operator", rollouts.act),
    Route("POST", "/v1/rollouts/{id}/abort", "operator", rollouts.act),
    Route("POST", "/v1/rollouts/{id}/promote", "operator", rollouts.act),
)


def _shape(name: str) -> tuple[str | None, ...]:
    return tuple(None if segment.startswith("{") else segment for segment in name.split("/"))


_EXACT: Final[dict[str, dict[str, Route]]] = {}
_BY_SHAPE: Final[dict[tuple[str | None, ...], dict[str, Route]]] = {}
for _route in ROUTES:
    if "{" in _route.name:
        _BY_SHAPE.setdefault(_shape(_route.name), {})[_route.method] = _route
    else:
        _EXACT.setdefault(_route.name, {})[_route.method] = _route


def find_route(path: str, method: str) -> Route | ApiError:
    """The route of a raw path, or the error that says why there is none."""
    methods = _EXACT.get(path) or _by_shape(path)
    if methods is None:
        return ApiError("not_found", "there is nothing at this path")
    route = methods.get(method)
    if route is None:
        allowed = ", ".join(sorted(methods))
        return ApiError("method_not_allowed", f"the method here is {allowed}", hint=allowed)
    return route


def _by_shape(path: str) -> dict[str, Route] | None:
    segments = path.split("/")
    for shape, methods in _BY_SHAPE.items():
        if len(shape) == len(segments) and all(
            (want is None and segment) or want == segment
            for want, segment in zip(shape, segments, strict=True)
        ):
            return methods
    return None
