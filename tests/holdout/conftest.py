"""A finished study, ready to be opened, and its opening."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.holdout.open import open_holdout
from harness.store.opening import Opening
from harness.store.storage import Storage, open_storage
from tests.tiny_study import brief_reference, home_at, search, write_items, write_study

KEY = "tiny-items"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished study: two finalists and the recipe, two seeds."""
    folder = tmp_path_factory.mktemp("template")
    with home_at(folder) as patched:
        patched.setattr("harness.search.workers.REFERENCE", brief_reference())
        write_study(trials=4, finalists=2, reference=True)
        search(write_items(folder / "items.txt"))
    return folder


@pytest.fixture
def items(template: Path) -> Path:
    return template / "items.txt"


@pytest.fixture
def storage(template: Path, home: Path) -> Storage:
    """That study, its project copied into this test's own."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    return open_storage()


def opened(storage: Storage, key: str = KEY, **options: bool) -> Opening:
    return open_holdout(storage, storage.study(key), **options)[0]
