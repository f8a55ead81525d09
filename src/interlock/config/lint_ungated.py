"""Every way past the gates: how a model can be reached under a name that no gate guards.

Only for a config that has gates. Whether a gated alias's own version has passed is in the store, so
`interlock check` adds that.
"""

from collections.abc import Iterator

from interlock.config.problems import warning
from interlock.config.whole import Whole
from interlock.errors import Problem


def check_ungated(whole: Whole) -> Iterator[Problem]:
    if not whole.file.gates:
        return
    ways: dict[str, list[str]] = {}
    for name, way in _ways(whole):
        model = whole.model_of(name)
        if model is not None and name not in whole.file.gates:
            ways.setdefault(model, []).append(way)
    for model, found in sorted(ways.items()):
        yield warning(
            f"models.{model}",
            f"can be reached past every gate: {'; '.join(found)}",
            "name an alias that has a gate there, give the alias one, or limit the keys' `allow`",
        )


def _ways(whole: Whole) -> Iterator[tuple[str, str]]:
    """Each name that leads to a model, with where it stands."""
    file = whole.file
    for alias in file.aliases:
        yield alias, f"aliases.{alias}"
    for name, lane in file.lanes.items():
        for place, model in enumerate(lane.models):
            yield model, f"lanes.{name}.models[{place}] (`{model}`)"
        for place, step in enumerate(lane.cascade):
            yield step.model, f"lanes.{name}.cascade[{place}] (`{step.model}`)"
    for place, row in enumerate(file.fallbacks):
        yield row.to, f"fallbacks[{place}] (`{row.to}`)"
    if file.default is not None:
        yield file.default.model, f"default (`{file.default.model}`)"
    for model in file.models:
        who = _direct(whole, model)
        if who:
            yield model, f"by its own name ({who})"


def _direct(whole: Whole, model: str) -> str:
    """Whose requests may name a model itself."""
    keys = whole.file.keys
    if not keys:
        return "everybody"
    provider = f"{whole.file.models[model].provider}/{model}"
    may = [
        key.id
        for key in keys
        if key.allow is None or model in key.allow.models or provider in key.allow.models
    ]
    return f"key {', '.join(may)}" if may else ""
