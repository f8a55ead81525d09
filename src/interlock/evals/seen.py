"""All that a grader may look at."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from interlock.evals.sample import Grade, Sample
from interlock.evals.suite import Case

Function = Callable[[dict[str, Any]], Any]
"""A grader written in Python by the suite's owner: a plain mapping in, a score or a yes/no out."""


class Judgement(Struct, frozen=True, kw_only=True):
    """A judge's reply to one prompt. `text` None: it could not be had, and `error` says why."""

    text: str | None
    error: str = ""


class Seen(Struct, frozen=True, kw_only=True):
    """A sample with its case. `others` are the other runs of the same case by the same model.

    `judgements` are by the hash of their prompt; `related` names the judges that are of the model's own
    family.
    """

    case: Case
    sample: Sample
    others: tuple[Sample, ...] = ()
    judgements: Mapping[str, Judgement] = {}
    related: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = {}


def skip(why: str) -> Grade:
    """The grader does not apply to this case."""
    return Grade(score=None, why=why)


def unknown(why: str) -> Grade:
    """The grader applies and its score cannot be had."""
    return Grade(score=None, why=why, missing=True)


def verdict(holds: bool, why: str) -> Grade:
    """1 where it holds; `why` is said where it does not."""
    return Grade(score=1.0) if holds else Grade(score=0.0, why=why)


def shown(text: object, most: int = 80) -> str:
    """A value as a reason may quote it."""
    flat = " ".join(str(text).split())
    return f"`{flat if len(flat) <= most else flat[: most - 1] + '…'}`"
