"""The size of the house, and what no file of it may say: pages that one can read, nothing of one machine.

Line counts judge `src` only. Names of machines, folders and registries are looked for in every text file of
the checkout, lock files included: they would tie the project to the place where it was written.
"""

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES: Final = 500
MOST_LINES_OF_A_FUNCTION: Final = 60
# Functions that are longer and better so, each with its reason: {"interlock/route/decide.py decide": "..."}.
LONGER: Final[dict[str, str]] = {}

# Folders that tools make beside the source; what is in them is not ours.
MADE: Final = {
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".import_linter_cache",
    "__pycache__",
    "build",
    "dist",
    "node_modules",
}
# Written in halves, so that this file does not hold what it looks for.
UNSAID: Final = tuple(
    left + right
    for left, right in (
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/opt/py", "pi"),
        ("/opt/whe", "els"),
        ("pypi.", "org"),
        ("pythonhosted.", "org"),
        ("registry.npm", "js"),
        ("deb.", "debian"),
    )
)
LOCKS: Final = sorted((ROOT / "requirements").glob("*.txt"))
NODE: Final = ROOT / "tests" / "clients" / "ai_sdk"
GROUPS: Final = {"dev": "dev.txt", "clients": "clients.txt", "clients-instructor": "clients-instructor.txt"}
"""The dependency groups of pyproject.toml, each with its lock."""


def is_made(folder: str) -> bool:
    return folder.startswith(".venv") or folder.endswith(".egg-info")


def files() -> Iterator[Path]:
    """Every file of the checkout that somebody wrote."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in MADE and not is_made(name)]
        # In a linked worktree `.git` is a file, git's own.
        yield from (Path(folder, name) for name in names if name != ".git")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file with its number of lines, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_source_file_is_longer_than_one_reads_at_a_sitting():
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > MOST_LINES
    ]
    assert not long, "\n".join(long)


def test_no_function_is_longer_than_a_page_without_a_reason():
    source = ROOT / "src"
    long = {
        f"{path.relative_to(source)} {name}": lines
        for path in source.rglob("*.py")
        for name, lines in functions(path)
        if lines > MOST_LINES_OF_A_FUNCTION
    }
    unexplained = [f"{name}: {lines} lines" for name, lines in long.items() if name not in LONGER]
    assert not unexplained, "\n".join(unexplained)
    assert set(LONGER) <= set(long), "LONGER names a function that is short by now"


def test_no_file_names_a_machine_a_folder_of_one_or_a_registry():
    found = []
    for path in files():
        text = path.read_bytes()
        if b"\0" not in text:
            said = [word for word in UNSAID if word.encode() in text]
            found += [f"{path.relative_to(ROOT)} says {word}" for word in said]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index_no_host_and_no_path_and_hashes_everything(lock):
    lines = lock.read_text("utf-8").splitlines()
    packages = [line for line in lines if not line.startswith(" ")]
    for line in lines:
        assert "://" not in line
        assert not line.startswith(("-", "/", "."))
        assert " @ " not in line
    assert all("==" in line and line.endswith("\\") for line in packages)
    hashes = sum(line.lstrip().startswith("--hash=sha256:") for line in lines)
    assert hashes >= len(packages) > 0


def test_the_lock_for_node_says_not_where_from_and_hashes_everything():
    asked = json.loads((NODE / "package.json").read_text("utf-8"))["devDependencies"]
    packages = json.loads((NODE / "package-lock.json").read_text("utf-8"))["packages"]
    locked = {name.removeprefix("node_modules/"): package for name, package in packages.items() if name}
    assert all("resolved" not in package for package in locked.values())
    assert all(package["integrity"].startswith("sha512-") for package in locked.values())
    assert [name for name in asked if name not in locked] == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_holds_what_its_group_asks_for(group):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["dependency-groups"].keys() == GROUPS.keys()
    asked = list(project["dependency-groups"][group])
    if group == "dev":
        asked += project["project"]["dependencies"]
    lines = (ROOT / "requirements" / GROUPS[group]).read_text("utf-8").splitlines()
    locked = {normal(line.split("==", 1)[0]) for line in lines if "==" in line}
    assert [name for name in map(normal, asked) if name not in locked] == []


def test_each_dependency_has_its_reason_in_the_docs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["demo"],
        *(name for group in project["dependency-groups"].values() for name in group),
    ]
    asked = [*map(normal, asked), *json.loads((NODE / "package.json").read_text("utf-8"))["devDependencies"]]
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    reasons = {
        name if name.startswith("@") else normal(name)
        for line in page.splitlines()
        if line.startswith("| `")
        for name in line.split("|")[1].split("`")[1::2]
    }
    assert [name for name in asked if name not in reasons] == []


def normal(requirement: str) -> str:
    """The bare name of a requirement as registries compare names."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[._-]+", "-", name.group()).lower()
