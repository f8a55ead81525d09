"""docs/faults.md is what the tests are: each row has a test of its name, and the page leads to it."""

import re
from functools import cache

import pytest

from tests.data import ROOT

NAMED = [*(f"U{n}" for n in range(1, 21)), *(f"C{n}" for n in range(1, 13)), "C15"]
NAMED += [*(f"P{n}" for n in range(1, 6)), *(f"P{n}" for n in range(7, 10))]
"""The rows of the fault table that the wire, the executor and the process answer for."""
TEST = re.compile(r"^\s*(?:async )?def test_((?:[ucp]\d+_)+)\w+\(", re.MULTILINE)
LINE = re.compile(r"^\| ([UCP]\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


@cache
def files_by_row() -> dict[str, set[str]]:
    """Row -> the files that have test functions of that row, as the page names them."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for rows in TEST.findall(file.read_text("utf-8")):
            for row in rows.strip("_").upper().split("_"):
                place = file.relative_to(ROOT / "tests").as_posix().removesuffix(".py")
                found.setdefault(row, set()).add(place)
    return found


@pytest.mark.parametrize("row", NAMED)
def test_a_row_of_the_fault_table_has_a_test_of_its_name(row: str) -> None:
    assert files_by_row().get(row), f"no test is called test_{row.lower()}_…"


def test_the_page_has_every_row_and_the_files_that_it_names_have_tests_of_that_row() -> None:
    page = LINE.findall((ROOT / "docs" / "faults.md").read_text("utf-8"))
    assert [row for row, _ in page] == NAMED
    empty = [
        f"{file} has no test_{row.lower()}_…"
        for row, files in page
        for file in files.split(", ")
        if file not in files_by_row()[row]
    ]
    assert not empty, "\n".join(empty)
