"""The expectations that graders read by a name of their own, and what each has to look like."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from interlock.config.problems import below


def expectation_problems(expect: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Path, problem and hint of each expectation that no grader could use. Other names are free."""
    for name, check in _CHECKS.items():
        if name in expect:
            yield from check(expect[name], f"expect.{name}")


def _calls(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, list):
        yield path, "needs a list of calls", "write `[{name: …, arguments: {…}}]`, or `[]` for none"
        return
    for place, call in enumerate(value):
        here = below(path, place)
        if isinstance(call, str):
            continue
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            yield here, "needs a tool's name, or a mapping with `name`", ""
            continue
        odd = call.keys() - {"name", "arguments", "accepts"}
        if odd:
            yield (
                below(here, min(odd)),
                f"unknown key `{min(odd)}`",
                "a call has `name`, `arguments` or `accepts`",
            )
        if not isinstance(call.get("arguments", {}), dict):
            yield below(here, "arguments"), "needs a mapping of arguments", ""
        accepts = call.get("accepts", {})
        if not isinstance(accepts, dict) or not all(isinstance(values, list) for values in accepts.values()):
            yield below(here, "accepts"), "needs a list of accepted values for each argument", ""


def _texts(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, str) and not (
        isinstance(value, list) and all(isinstance(v, str) for v in value)
    ):
        yield path, "needs a text, or a list of texts", ""


def _flag(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, bool):
        yield path, "needs `true` or `false`", ""


def _schema(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, dict):
        yield path, "needs a JSON Schema", ""


_CHECKS: Final[dict[str, Callable[[Any, str], Iterator[tuple[str, str, str]]]]] = {
    "calls": _calls,
    "forbidden": _texts,
    "contains": _texts,
    "lacks": _texts,
    "refusal": _flag,
    "schema": _schema,
}
