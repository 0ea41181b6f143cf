"""One store per test and backend: an SQLite file, and PostgreSQL where MTL_TEST_POSTGRES names an empty database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_fakes import Clock

from mtl_core.store import Store
from mtl_core.store.sql import SqlStore

BACKENDS = ["sqlite", *(["postgresql"] if "MTL_TEST_POSTGRES" in os.environ else [])]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was migrated once."""
    path = tmp_path_factory.mktemp("empty") / "store.sqlite"
    SqlStore(str(path)).close()
    return path


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, empty: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(empty, tmp_path / 'store.sqlite')}"
    return os.environ["MTL_TEST_POSTGRES"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened = SqlStore(url, clock)
    yield opened
    opened.close()
