"""What a user types as STORAGE leads to that file and no other, or is refused in one line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql
from hypothesis import given
from hypothesis import strategies as st

from harness import paths
from harness.errors import StorageError
from harness.store.address import file_of, url_of
from harness.store.ledger import exported
from harness.store.storage import open_storage
from harness.store.stored_names import stored_trials
from tests.record_factory import KEY, made_session
from tests.tiny_study import search, write_items, write_study

ODD = "a?b%c d#e{f}%41&é"
IN_MEMORY = [
    ":memory:", " :memory: ", ":MEMORY:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite://",
    "sqlite+pysqlite:///:memory:",
]  # fmt: skip
REFUSED = [
    ("sqlite:///x.db?mode=ro", "Leave out what follows the ?"),
    ("sqlite:///file:x.db?mode=memory&cache=shared&uri=true", "Leave out what follows the ?"),
    ("sqlite:///file:x.db", "Give the path alone"),
    ("file:x.db", "Write sqlite:///studies.db"),
    ("file:///tmp/x.db", "Write sqlite:///studies.db"),
    ("sqlite:x.db", "Write sqlite:///studies.db"),
    ("sqlite:/tmp/x.db", "Write sqlite:///studies.db"),
    ("postgresql:/host/x", "Write sqlite:///studies.db"),
    ("sqlite://x.db", "three slashes"),
    ("sqlite+aiosqlite:///x.db", "Python's own driver"),
    ("postgresql://user:secret@host:port/x", "could not be opened"),
    ("~nobody-of-that-name/x.db", "could not be opened"),
    ("x\0.db", "could not be opened"),
]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=20))
def test_the_url_of_any_path_leads_back_to_that_path(name: str):
    path = Path("/tmp/project") / f"-{name}" / "studies.db"
    url = url_of(str(path))
    assert file_of(url) == path
    assert file_of(url_of(url.render_as_string())) == path


@pytest.mark.parametrize("typed", IN_MEMORY)
def test_a_database_in_memory_is_refused(typed: str):
    with pytest.raises(StorageError, match=r"in memory is lost .* Name a file, or leave STORAGE out"):
        open_storage(typed, create=True)


@pytest.mark.parametrize(("typed", "way_out"), REFUSED)
def test_an_address_that_leads_nowhere_is_refused_with_the_way_out(
    typed: str, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError) as refusal:
        open_storage(typed, create=True)
    assert way_out in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "typed",
    [
        "x.db",
        "./x.db",
        "~/x.db",
        "sqlite:///x.db",
        "sqlite:///~/x.db",
        "sqlite+pysqlite:///x.db",
        "sqlite:///a/../x.db",
    ],
)
def test_every_spelling_of_a_file_is_one_storage(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert url_of(typed).render_as_string() == f"sqlite:///{tmp_path / 'x.db'}"


@pytest.mark.parametrize("typed", [None, "", " "])
def test_no_storage_given_is_the_default_one(typed: str | None):
    assert file_of(url_of(typed)) == paths.results_folder() / "studies.db"


def test_a_url_means_what_it_means_everywhere():
    assert file_of(url_of("sqlite:////tmp/a%3Fb.db")) == Path("/tmp/a?b.db")
    assert url_of("postgresql://me:p%40ss@host/x").password == "p@ss"


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_storage_in_a_folder_of_any_name_is_there_and_nowhere_else(tmp_path: Path):
    storage = open_storage(str(tmp_path / ODD / "x.db"), create=True)
    assert files_below(tmp_path) == {ODD, "home"}
    assert "x.db" in files_below(tmp_path / ODD)
    with sql.create_engine(storage.url).connect() as connection:  # as Optuna opens it
        assert connection.execute(sql.text("SELECT file FROM pragma_database_list")).scalar() == str(storage.file)
    assert open_storage(storage.url).file == storage.file


@pytest.mark.slow
def test_a_study_in_a_project_folder_of_any_name_is_searched_and_read_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / ODD
    monkeypatch.setenv("HARNESS_HOME", str(home))
    items = write_items(tmp_path / "items.txt")
    write_study(trials=1)
    session = search(items)
    assert session.record.ended_by == "trials"
    assert exported(session.storage) == home / "results" / "holdout.jsonl"
    command = [sys.executable, "-m", "harness", "studies", "--json"]
    listed = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert [study["study"] for study in json.loads(listed.stdout)["stored"]] == ["tiny-items"]
    assert files_below(tmp_path) == {ODD, "items.txt"}


def test_names_are_completed_from_a_storage_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / ODD))
    storage = made_session().storage
    assert set(stored_trials()) == set(stored_trials(storage.url)) == set(stored_trials(str(storage.file))) == {KEY}
    assert stored_trials(":memory:") == stored_trials("sqlite://") == {}


def test_the_exported_ledger_keeps_the_name_that_earlier_versions_gave_it(tmp_path: Path):
    open_storage(str(tmp_path / "é (1).db"), create=True)
    storage = open_storage(f"sqlite:///{tmp_path}/é (1).db")
    mark = hashlib.sha256(f"sqlite:///{tmp_path}/é (1).db".encode()).hexdigest()[:8]
    assert exported(storage).name == f"holdout-{mark}.jsonl"
