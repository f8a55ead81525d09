"""Who may import whom, and what the deciding half may never touch. Read from the source, nothing is run.

`pyproject.toml` names the deciding half and what it must not reach; import-linter looks for indirect ways
to it (`make lint`). Here stands what import-linter cannot see: calls such as `datetime.now()`, a package that
nobody gave a layer, and the parts of `interlock.config`, which belong to several layers.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "interlock"

# From the ground up. A module imports from its own room and from the layers below it; rooms side by side are
# strangers. The longest prefix decides, so `config.checked` lies below the rest of `config`.
LAYERS: Final = (
    ("types", "errors", "stats"),
    ("config.written", "measures", "cited"),
    ("config.checked",),
    ("wire", "policy", "classify", "resilience", "rollout"),
    ("config", "dialects", "adapters", "route"),
    ("evals", "live"),
    ("transport", "store"),
    ("execute",),
    ("replay", "local_models"),
    ("wiring",),
    ("release",),
    ("server",),
    ("harness", "mock"),
    ("cli.output",),
    ("cli.explain",),
    ("demo",),
    ("cli",),
)
RANKS: Final = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

INSTEAD: Final = {
    "time": "takes the clock as an argument",
    "random": "takes its draw as an argument",
    "secrets": "takes ids and draws as arguments",
    "uuid": "takes ids as arguments",
    "os": "takes the environment as an argument",
    "logging": "reports by what it returns",
}
ACTS: Final = {
    "open": "reads no files",
    "print": "reports by what it returns",
    "input": "asks nobody",
    "hash": "hashes with hashlib, the same in every process",
    "datetime.now": "takes the clock as an argument",
    "datetime.utcnow": "takes the clock as an argument",
    "datetime.today": "takes the clock as an argument",
    "date.today": "takes the clock as an argument",
    ".read_text": "reads no files",
    ".read_bytes": "reads no files",
    ".write_text": "writes no files",
    ".write_bytes": "writes no files",
    ".open": "reads no files",
}
# Modules of the deciding half that may read: each with what and why.
READERS: Final = {
    "config.loading": "reads the config file itself",
    "config.schema_file": "reads the JSON Schemas beside it",
    "config.catalogue": "reads the catalogue that is part of the package",
    "evals.loading": "reads a suite's files",
}


def contract() -> dict[str, list[str]]:
    """The deciding half and what it must not reach, as import-linter knows them."""
    tooling = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    return next(row for row in tooling["contracts"] if row["id"] == "deciding-half")


DECIDING: Final = tuple(contract()["source_modules"])
FORBIDDEN: Final = frozenset(
    name for name in contract()["forbidden_modules"] if not name.startswith("interlock")
)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), filename=str(path))
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """Every name that a module imports, wherever the import stands in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.Module) -> Iterator[str]:
    """Every call as it may stand in ACTS: `open`, `datetime.now`, `.read_text`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield f".{node.func.attr}"
                if isinstance(node.func.value, ast.Name | ast.Attribute):
                    yield f"{ast.unparse(node.func.value).rsplit('.', 1)[-1]}.{node.func.attr}"


def room(module: str) -> str | None:
    """The room in LAYERS that a module stands in: `config.checked`, or `route`."""
    parts = module.removeprefix("interlock.").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in RANKS), None)


def against_purity(module: str, tree: ast.Module) -> list[str]:
    """What a module of the deciding half touches that it may not, a readable line each."""
    found = [
        f"{module} imports {top}: the deciding half {INSTEAD.get(top, 'acts on nothing')}"
        for top in dict.fromkeys(name.split(".", 1)[0] for name in imports(tree))
        if top in FORBIDDEN
    ]
    if module.removeprefix("interlock.") in READERS:
        return found
    return found + [
        f"{module} calls {call.lstrip('.')}(): the deciding half {ACTS[call]}"
        for call in dict.fromkeys(calls(tree))
        if call in ACTS
    ]


def against_layers(module: str, tree: ast.Module) -> list[str]:
    """Imports that point sideways or up, a readable line each."""
    here = room(module)
    if here is None:
        return (
            []
            if module == "interlock"
            else [f"{module} stands in no layer: give it one in tests/test_layers.py"]
        )
    rooms = dict.fromkeys(room(name) for name in imports(tree) if name.startswith("interlock."))
    return [
        f"{module} imports interlock.{there}, which lies {side(there, here)} interlock.{here}"
        for there in rooms
        if there is not None and there != here and RANKS[there] >= RANKS[here]
    ]


def side(there: str, here: str) -> str:
    return "beside" if RANKS[there] == RANKS[here] else "above"


def test_the_deciding_half_touches_no_clock_draw_environment_file_network_or_log():
    half = [
        name
        for name in modules()
        if name.startswith(tuple(f"{part}." for part in DECIDING)) or name in DECIDING
    ]
    assert len(half) > 20, "the deciding half was not found"
    found = [line for name in half for line in against_purity(name, modules()[name])]
    assert not found, "\n".join(found)


def test_imports_point_down_the_layers():
    found = [line for name, tree in modules().items() for line in against_layers(name, tree)]
    assert not found, "\n".join(found)


def run_first(tree: ast.Module) -> set[str]:
    """The modules, packages among them, whose code has to run before a module's own can go on."""
    found: set[str] = set()
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue  # runs when it is called
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue  # never runs
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imports(ast.Module([node], [])):
                parts = name.split(".")
                found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        waiting.extend(ast.iter_child_nodes(node))
    return found & modules().keys()


def in_cycles() -> list[str]:
    """The modules that wait for themselves: all others can be imported in any order, whatever it is."""
    needs = {name: run_first(tree) - {name, *above(name)} for name, tree in modules().items()}

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            more = needs[waiting.pop()] - seen
            seen |= more
            waiting.extend(more)
        return seen

    return [name for name in needs if name in reached(name)]


def above(name: str) -> Iterator[str]:
    """The packages that a module stands in: Python begins with them anyhow."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def test_every_module_can_be_the_first_to_be_imported():
    """A cycle that only one order of imports survives is a fault that waits for a new caller.

    A package that imports what needs a part of it is such a cycle too, which is why there are some.
    """
    program = """
import importlib, sys
alone, others = map(str.split, sys.argv[1:])
for name in alone + others:
    if name in alone:
        for loaded in [key for key in sys.modules if key.partition(".")[0] == "interlock"]:
            del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error}")
"""
    alone = in_cycles()
    assert alone, "interlock.config is one"
    others = [name for name in modules() if name not in alone and not name.endswith("__main__")]
    argv = [sys.executable, "-W", "error", "-c", program, " ".join(alone), " ".join(others)]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not run.stdout, run.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time", "imports time: the deciding half takes the clock as an argument"),
        ("import os.path", "imports os: the deciding half takes the environment as an argument"),
        (
            "def f():\n    from random import random",
            "imports random: the deciding half takes its draw as an argument",
        ),
        ("import apsw", "imports apsw: the deciding half acts on nothing"),
        (
            "import datetime\ndatetime.datetime.now()",
            "calls datetime.now(): the deciding half takes the clock",
        ),
        ("open('x')", "calls open(): the deciding half reads no files"),
        ("def f(p): return p.read_text()", "calls read_text(): the deciding half reads no files"),
        ("hash('x')", "calls hash(): the deciding half hashes with hashlib"),
    ],
)
def test_a_deciding_module_that_acts_is_named_with_what_to_do_instead(source, said):
    (line,) = against_purity("interlock.route.decide", ast.parse(source))
    assert line.startswith(f"interlock.route.decide {said}")


def test_a_deciding_module_may_parse_times_and_hash_bytes():
    source = "from datetime import datetime\ndatetime.fromisoformat('2026-11-24')\nhashlib.sha256(b'')"
    assert against_purity("interlock.route.decide", ast.parse(source)) == []


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        (
            "interlock.policy.rules",
            "from interlock.classify import tokens",
            "imports interlock.classify, which lies beside interlock.policy",
        ),
        (
            "interlock.policy.rules",
            "from interlock.route.decide import decide",
            "imports interlock.route, which lies above interlock.policy",
        ),
        (
            "interlock.types.signals",
            "import interlock.config.checked",
            "imports interlock.config.checked, which lies above interlock.types",
        ),
        (
            "interlock.config.checked",
            "from interlock.config import load",
            "imports interlock.config, which lies above interlock.config.checked",
        ),
        ("interlock.surprise", "", "stands in no layer"),
    ],
)
def test_an_import_that_points_sideways_or_up_is_named(module, source, said):
    (line,) = against_layers(module, ast.parse(source))
    assert line.startswith(f"{module} {said}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("interlock.route.decide", "from interlock.policy.rules import rule_on"),
        ("interlock.route.decide", "from interlock.route.select import order"),
        ("interlock.config.resolve", "from interlock.policy.condition import check_condition"),
        ("interlock.policy.rules", "from interlock.config.written import Rule"),
    ],
)
def test_an_import_that_points_down_is_fine(module, source):
    assert against_layers(module, ast.parse(source)) == []


def test_readers_are_only_those_that_read():
    reading = {f"interlock.{name}" for name in READERS}
    assert reading == {name for name in reading if set(calls(modules()[name])) & set(ACTS)}
