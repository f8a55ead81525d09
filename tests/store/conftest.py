"""A store of its own for each test, in a real file."""

import pytest

from tests.store.given import opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "interlock.db"


@pytest.fixture
def store(path):
    with opened(path) as store:
        yield store
