"""A suite as written and as checked: cases, what is expected of them, and the graders that score answers.

The files are decoded as strictly as the config is. `Suite` has everything inside, files included, and a hash
over all of it, so that a gate's record can name exactly what was asked and how it was scored.
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from interlock.config.written import Mapping, Names, Positive, Section, Usd

ALL: Final = "*"
"""The family of a check that holds for each family, and for all of them together."""


class GraderSpec(Section, frozen=True, kw_only=True):
    """What every grader's row may have.

    `measure`: what its scores count towards. `families`, `cases`: only those. `negate`: right is wrong.
    """

    kind: str
    measure: str | None = None
    families: Names = ()
    cases: Names = ()
    negate: bool = False


class SuiteFile(Section, frozen=True, kw_only=True):
    """A suite's YAML. `cases` is a path, several, or a list of cases; each grader's row is decoded by its
    kind.
    """

    suite: str
    cases: Any
    graders: tuple[Any, ...]
    description: str | None = None
    family: str | None = None
    lane: str | None = None
    task: str | None = None
    system: str | None = None
    tools: tuple[Mapping, ...] = ()
    mocks: Mapping = {}
    parameters: Mapping = {}
    repeats: Positive = 1
    max_turns: Annotated[int, Meta(ge=1, le=64)] = 8
    budget_usd: Usd | None = None


class CaseFile(Section, frozen=True, kw_only=True):
    """One case. What it leaves out, the suite says."""

    id: str
    messages: tuple[Mapping, ...]
    family: str | None = None
    lane: str | None = None
    task: str | None = None
    data_class: str | None = None
    residency: str | None = None
    tools: tuple[Mapping, ...] | None = None
    tool_choice: Any = None
    response_format: Mapping | None = None
    mocks: Mapping | None = None
    sources: dict[str, str] = {}
    expect: Any = None


FIELDS: Final[dict[str, dict[str, str]]] = {
    "SuiteFile": {
        "suite": "the suite's name",
        "cases": "a JSON Lines file with one case a line, several of them, or the cases themselves",
        "graders": "what scores an answer, each with its `kind`",
        "description": "what the suite is for",
        "family": "the task family of cases that name none; default: the suite's name",
        "lane": "the lane that its cases run in",
        "task": "the kind of task that its cases are",
        "system": "a system message before each case's own messages",
        "tools": "tools that each case offers, in OpenAI's form",
        "mocks": "what tools answer in an episode, by tool: one result, or rows of `arguments` and `result`",
        "parameters": "fields of each request: `{temperature: 0, max_tokens: 300}`",
        "repeats": "how often each case is asked",
        "max_turns": "how many requests an episode with tools may take",
        "budget_usd": "the most that a run may cost, in US dollars",
    },
    "CaseFile": {
        "id": "the case's name, unique in its suite",
        "messages": "the conversation, in OpenAI's form",
        "family": "its task family",
        "lane": "the lane that it runs in",
        "task": "the kind of task that it is",
        "data_class": "raises the data class of the request",
        "residency": "where its data must stay, one place or several with commas between",
        "tools": "tools that it offers, in OpenAI's form, instead of the suite's",
        "tool_choice": "as in a request",
        "response_format": "as in a request",
        "mocks": "what tools answer, instead of the suite's",
        "sources": 'the texts that citations may point to, by marker: `{"1": "…"}`',
        "expect": "what graders compare with: a mapping, or a text, which is short for `{answer: TEXT}`",
    },
    "GraderSpec": {},
}


class Case(Struct, frozen=True, kw_only=True):
    """One case, whole. `body` is the request without its `model`; `hash` covers what changes answers."""

    id: str
    family: str
    body: dict[str, Any]
    hints: dict[str, str] = {}
    mocks: dict[str, Any] = {}
    sources: dict[str, str] = {}
    expect: dict[str, Any] = {}
    max_turns: int = 8
    hash: str = ""


class Suite(Struct, frozen=True, kw_only=True):
    """A suite, checked. `graders` are the specs of `interlock.evals.graders`, with the files they name
    inside.
    """

    name: str
    cases: tuple[Case, ...]
    graders: tuple[GraderSpec, ...]
    repeats: int = 1
    budget_usd: float | None = None
    hash: str = ""

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(case.family for case in self.cases))
