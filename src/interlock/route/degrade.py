"""What a decision gives up while the system is degraded. Pure: the mode is part of the world.

The config lists modes in the order in which they are entered; a mode is in force together with all those
listed before it. `no_shadow` and `prefer_cache` change nothing about where a request may run.
"""

from typing import Final

from interlock.config.checked import Config, Lane
from interlock.policy.tools import ToolVerdict
from interlock.route.limits import Sourced, smallest
from interlock.types.decision import ToolDenied
from interlock.types.labels import Degraded
from interlock.types.world import World

NOTHING: Final[tuple[Degraded, ...]] = ()


def in_force(config: Config, world: World) -> tuple[Degraded, ...]:
    """The modes in force, the deepest last; none where the config does not list the world's mode."""
    modes = config.resilience.degrade
    if world.degrade == "none" or world.degrade not in modes:
        return NOTHING
    return modes[: modes.index(world.degrade) + 1]


def without_effects(tools: ToolVerdict, config: Config) -> ToolVerdict:
    """`fewer_tools`: of the tools that may be offered, those that only read."""
    why = "does more than read, and the system is degraded"
    gone = {name for name in tools.allowed if _effects(name, config) != ("read",)}
    if not gone:
        return tools
    return ToolVerdict(
        allowed=tuple(name for name in tools.allowed if name not in gone),
        denied=(
            *tools.denied,
            *(ToolDenied(tool=name, rule="fewer_tools", why=why) for name in tools.allowed if name in gone),
        ),
        approval=tuple(name for name in tools.approval if name not in gone),
        step_up=tuple(name for name in tools.step_up if name not in gone),
    )


def fewer_calls(found: tuple[Sourced, ...]) -> tuple[Sourced, ...]:
    """`fewer_tools`: half the tool calls that all sources together leave; no limit stays none."""
    most = smallest(found)[0].max_tool_calls
    return found if most is None else (*found, ("fewer_tools", (("max_tool_calls", most // 2),)))


def not_essential(lane: Lane | None, lanes: tuple[Lane, ...], config: Config) -> str | None:
    """`essential_lanes`: why a request is refused; None where a lane that it is in stays to the end.

    Where no lane is named as essential, none is given up.
    """
    essential = config.resilience.essential_lanes
    names = {found.name for found in (*lanes, *((lane,) if lane is not None else ()))}
    if not essential or names & set(essential):
        return None
    return "the system is overloaded and serves essential lanes only"


def _effects(name: str, config: Config) -> tuple[str, ...]:
    return config.tools.get(name, config.default_tool).effects
