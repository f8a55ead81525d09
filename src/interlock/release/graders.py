"""The graders of rollouts: read with their files when a rollout begins, restored where they grade."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from interlock.config.checked import Config
from interlock.config.problems import error, locate, suggest
from interlock.errors import ConfigError, Problem
from interlock.evals.decode import decode_grader
from interlock.evals.graders import GRADERS
from interlock.evals.graders.judge import Judge
from interlock.evals.loading import reader_of
from interlock.evals.passing import OUTSIDE, needs_reference
from interlock.evals.suite import GraderSpec
from interlock.measures import SHADOW


def read_graders(config: Config, plan: str, folder: Path) -> tuple[dict[str, GraderSpec], list[Problem]]:
    """The graders of a plan of the config, and what is wrong with them. Reads files."""
    path, known = f"rollouts.{plan}.graders", (*config.models, *config.aliases)
    found: dict[str, GraderSpec] = {}
    problems: list[Problem] = []
    for name, row in config.rollouts[plan].graders.items():
        kind = row.get("kind")
        if kind in OUTSIDE:
            why = f"`{kind}` {OUTSIDE[kind]}"
            problems.append(error(f"{path}.{name}.kind", why, "name another grader; gates can use this one"))
            continue
        spec = decode_grader(row, f"{path}.{name}", reader_of(folder), problems)
        if isinstance(spec, Judge) and spec.model not in known:
            problems.append(
                error(f"{path}.{name}.model", f"there is no model `{spec.model}`", suggest(spec.model, known))
            )
        elif spec is not None:
            found[name] = spec
    return found, problems


def check_graders(config: Config, folder: Path) -> Iterator[Problem]:
    """What is wrong with the graders of all plans, and with guardrails that no grader could decide."""
    for plan, written in config.rollouts.items():
        path = f"rollouts.{plan}"
        graders, problems = read_graders(config, plan, folder)
        yield from problems
        for place, check in enumerate(written.guardrails):
            spec = graders.get(check.metric.removeprefix(SHADOW))
            if spec is None:
                continue
            where = f"{path}.guardrails[{place}]"
            copies = check.metric.startswith(SHADOW)
            if not copies and needs_reference(spec):
                yield error(
                    where,
                    f"`{spec.kind}` needs something to compare a live answer with, so it could never hold",
                    f"compare copies with it: `{SHADOW}{check.metric}`",
                )
            beside = check.rise_at_most is not None or check.drop_at_most is not None
            if copies and beside and (needs_reference(spec) or isinstance(spec, Judge)):
                yield error(
                    where,
                    f"`{spec.kind}` compares copies with the live answers, which have no score themselves",
                    "give it `at_least` or `at_most`",
                )


def refuse_bad_graders(config: Config, path: Path) -> None:
    """Raises ConfigError with every problem of the graders that the config at `path` names."""
    problems = tuple(check_graders(config, path.parent))
    if problems:
        raise ConfigError(locate(problems, str(path), {}))


def kept(graders: Mapping[str, GraderSpec]) -> dict[str, dict[str, Any]]:
    """Graders as a rollout keeps them."""
    return {name: msgspec.to_builtins(spec) for name, spec in graders.items()}


def restored(rows: Mapping[str, dict[str, Any]]) -> dict[str, GraderSpec]:
    """The graders that a rollout has kept."""
    return {name: msgspec.convert(row, GRADERS[row["kind"]].spec) for name, row in rows.items()}
