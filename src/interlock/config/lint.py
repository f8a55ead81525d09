"""Every finding that needs the whole config: one row for each family of checks."""

from collections.abc import Iterator, Mapping

from interlock.config import checked, written
from interlock.config.lint_edges import check_edges
from interlock.config.lint_facts import check_facts
from interlock.config.lint_lanes import check_lanes
from interlock.config.lint_later import check_later
from interlock.config.lint_names import check_names
from interlock.config.lint_policy import check_policy
from interlock.config.lint_release import check_releases
from interlock.config.lint_routes import check_routes
from interlock.config.lint_ungated import check_ungated
from interlock.config.lint_watch import check_watch
from interlock.config.whole import Whole
from interlock.errors import Problem


def lint(file: written.File, config: checked.Config, caller_keys: Mapping[str, str]) -> Iterator[Problem]:
    """Problems of a file that has the right shape, and of what it resolves to."""
    whole = Whole(file, config)
    yield from check_names(whole)
    yield from check_policy(whole)
    yield from check_lanes(whole)
    yield from check_routes(whole)
    yield from check_releases(whole)
    yield from check_ungated(whole)
    yield from check_watch(whole)
    yield from check_edges(whole, caller_keys)
    yield from check_facts(whole)
    yield from check_later(whole)
