"""The right tools were called, with the right arguments, in an allowed order, and none that is forbidden."""

from typing import Any, Final, Literal

from msgspec import Struct

from interlock.config.written import Names
from interlock.evals.sample import Call, Grade
from interlock.evals.seen import Seen, shown, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "tool_use_correct"


class ToolUse(GraderSpec, frozen=True, kw_only=True):
    """Compares the episode's calls with `expect.calls`.

    Each expected call is `{name, arguments}`, or `{name, accepts}` with a list of accepted values for each
    argument ("" among them: it may be left out). `order`: `any` (a set), `listed`, or `exact` (listed, and
    no other). `extra`: whether calls beyond the expected ones are allowed. `forbidden`: tools never to be
    called.
    """

    order: Literal["any", "listed", "exact"] = "any"
    extra: Literal["none", "read", "any"] = "none"
    forbidden: Names = ()
    harmless: Names = ()


class _Wanted(Struct, frozen=True, kw_only=True):
    name: str
    arguments: dict[str, Any] | None
    accepts: dict[str, list[Any]] | None


def grade(spec: ToolUse, seen: Seen) -> Grade:
    expect = seen.case.expect
    forbidden = {*spec.forbidden, *expect.get("forbidden", ())}
    if "calls" not in expect and not forbidden:
        return skip("the case expects no `calls`")
    calls = seen.sample.calls
    fault = _forbidden(calls, forbidden) or _against_policy(seen)
    if fault is None and "calls" in expect:
        wanted = tuple(_wanted(call) for call in expect["calls"])
        fault = _compare(spec, calls, wanted)
    return verdict(fault is None, fault or "")


def _wanted(call: Any) -> _Wanted:
    if isinstance(call, str):
        call = {"name": call}
    return _Wanted(name=call["name"], arguments=call.get("arguments"), accepts=call.get("accepts"))


def _forbidden(calls: tuple[Call, ...], forbidden: set[str]) -> str | None:
    called = next((call.name for call in calls if call.name in forbidden), None)
    return None if called is None else f"`{called}` must not be called"


def _against_policy(seen: Seen) -> str | None:
    """A call that Interlock withheld, or one against the tool's own schema, is no right call."""
    broken = next((text for turn in seen.sample.turns for text in turn.violations), None)
    return broken or next(
        (
            f"`{call.name}` was called with arguments that are no JSON object"
            for call in seen.sample.calls
            if call.arguments is None
        ),
        None,
    )


def _compare(spec: ToolUse, calls: tuple[Call, ...], wanted: tuple[_Wanted, ...]) -> str | None:
    left = list(calls)
    for want in wanted:
        place = next((place for place, call in enumerate(left) if _meets(call, want)), None)
        if place is None:
            return _why_missing(left, want)
        if spec.order == "any":
            del left[place]
            continue
        skipped = [call for call in left[:place] if not _may_be_extra(spec, call)]
        if spec.order == "exact" and place > 0:
            return f"`{left[0].name}` was called before `{want.name}`"
        if skipped:
            return f"`{skipped[0].name}` was called and is not expected there"
        del left[: place + 1]
    surplus = next((call for call in left if spec.order == "exact" or not _may_be_extra(spec, call)), None)
    return None if surplus is None else f"`{surplus.name}` was called and is not expected"


def _may_be_extra(spec: ToolUse, call: Call) -> bool:
    return spec.extra == "any" or (spec.extra == "read" and call.name in spec.harmless)


def _why_missing(calls: list[Call], want: _Wanted) -> str:
    same = next((call for call in calls if call.name == want.name), None)
    if same is None:
        return f"`{want.name}` was not called"
    wanted = shown(want.arguments or want.accepts)
    return f"`{want.name}` was called with {shown(same.arguments)}, expected {wanted}"


def _meets(call: Call, want: _Wanted) -> bool:
    if call.name != want.name or call.arguments is None:
        return False
    if want.accepts is not None:
        known = all(name in want.accepts for name in call.arguments)
        return known and all(_accepted(call.arguments, name, values) for name, values in want.accepts.items())
    return want.arguments is None or _equal(call.arguments, want.arguments)


def _accepted(arguments: dict[str, Any], name: str, values: list[Any]) -> bool:
    if name not in arguments:
        return "" in values
    return any(_equal(arguments[name], value) for value in values)


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON with 1 and 1.0 the same number, texts without regard to case and spaces at their ends."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
