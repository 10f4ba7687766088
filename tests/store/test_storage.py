"""The storage: what it refuses, how fast, and that one of several simultaneous claims is stored."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import paths
from harness.errors import StorageError
from harness.store.storage import open_storage


def test_reading_a_missing_storage_says_to_start_a_study():
    with pytest.raises(StorageError, match=r"there is none at .*studies.db. Run make study first"):
        open_storage()
    assert not (paths.results_folder() / "studies.db").exists()


def test_a_broken_storage_is_named(tmp_path: Path):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StorageError, match=r"broken.db: file is not a database"):
        open_storage(str(broken))
    assert broken.read_bytes().startswith(b"this is not")


@pytest.mark.slow
def test_a_locked_storage_is_reported_within_five_seconds(tmp_path: Path):
    path = tmp_path / "locked.db"
    open_storage(str(path), create=True)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"locked\. Close the program that uses it"):
        open_storage(str(path))
    assert time.monotonic() - began < 5
    holder.close()


@pytest.mark.parametrize("url", ["nonsense://x", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_url_that_cannot_be_opened_is_one_line(url: str):
    with pytest.raises(StorageError, match="could not be opened"):
        open_storage(url)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path):
    with pytest.raises(StorageError, match="unable to open database file"):
        open_storage(str(tmp_path))


def test_a_results_path_that_is_not_a_folder_is_refused_with_the_fix():
    paths.results_folder().parent.mkdir(parents=True, exist_ok=True)
    paths.results_folder().write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="set HARNESS_HOME"):
        open_storage(create=True)


def test_sqlite_runs_in_wal_mode(tmp_path: Path):
    open_storage(str(tmp_path / "a.db"), create=True)
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_of_many_simultaneous_openings_one_is_stored():
    storages = [open_storage(create=True) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        won = list(
            pool.map(lambda pair: pair[1].add_opening(0, f"study {pair[0]}", "claimed", "{}"), enumerate(storages))
        )
    assert sum(won) == 1
    assert [row.key for row in storages[0].openings()] == [f"study {won.index(True)}"]


def test_a_step_of_a_study_is_stored_once_whatever_its_index():
    storage = open_storage(create=True)
    assert storage.add_opening(0, "key", "claimed", "{}")
    assert not storage.add_opening(1, "key", "claimed", "{}")
    assert storage.add_opening(1, "key", "scored", "{}")
    assert storage.is_opened("key")
    assert not storage.is_opened("other")


def test_weights_missing_from_the_artifact_store_are_named(tmp_path: Path):
    storage = open_storage(str(tmp_path / "a.db"), create=True)
    with pytest.raises(StorageError, match="0000 is missing"):
        storage.kept_file("0000")
