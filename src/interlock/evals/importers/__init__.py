"""Suites of other tools, read as ours: one module each. A file is known by what it holds."""

from typing import Any

from interlock.evals.importers.common import Importer
from interlock.evals.importers.promptfoo import import_promptfoo
from interlock.evals.importers.registry import import_registry, is_registry
from interlock.evals.importers.rows import first_row, import_inspect, import_openai_evals


def importer_of(name: str, tree: Any, data: bytes) -> Importer | None:
    """Who reads a file that is not of our own form; None: it is, or nobody knows it."""
    if name.endswith(".jsonl"):
        row = first_row(data) or {}
        if "input" in row and "target" in row:
            return lambda path, _, read: import_inspect(path, data, read)
        if "input" in row and "ideal" in row:
            return lambda path, _, read: import_openai_evals(path, data, read)
        return None
    if isinstance(tree, dict) and "tests" in tree and "prompts" in tree:
        return import_promptfoo
    return import_registry if is_registry(tree) else None
