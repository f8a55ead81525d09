"""Real data for tests, found through $INTERLOCK_DATA; absent in a public clone, and then skipped aloud."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("INTERLOCK_DATA", str(ROOT.parent / "shared" / "data")))


def path(folder: str, name: str) -> Path:
    """The file, or a skip that says which data is missing and where it was looked for."""
    file = DATA / folder / name
    if not file.exists():
        pytest.skip(f"no {folder}/{name} under {DATA}: set INTERLOCK_DATA to the folder of real data")
    return file


def rows(folder: str, name: str) -> list[dict[str, Any]]:
    """Every row of a JSON Lines file."""
    return [json.loads(line) for line in path(folder, name).read_text("utf-8").splitlines() if line.strip()]
