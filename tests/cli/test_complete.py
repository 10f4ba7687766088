"""Shell completion: the right words, fast, without any output of its own, and no words without a storage."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import optuna
import pytest

from harness import paths
from harness.cli.app import app
from harness.store.storage import open_storage
from harness.store.stored_names import stored_trials
from tests.record_factory import KEY, made_session
from tests.tiny_study import home_at, write_study


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    with home_at(folder):
        write_study("tiny")
        made_session()
    return folder


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The words that bash receives for a line whose last word is being typed."""
    words = f"harness {line}".split(" ")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_HARNESS_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit) as end:
        app([], prog_name="harness", standalone_mode=False)
    assert end.value.code == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    return captured.out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sh", ["show"]),
        ("study ti", ["tiny"]),
        ("study tiny --corpus na", ["names", "names-dedup", "names-published"]),
        ("study tiny --sampler T", ["TPESampler"]),
        ("study tiny --pruner M", ["MedianPruner"]),
        ("study tiny --jso", ["--json"]),
        ("show be", [KEY]),
        ("rerun be", [KEY]),
        ("report be", [KEY]),
        ("holdout be", [KEY]),
        ("sample be", [KEY]),
        ("prune-check be", [KEY]),
        (f"show {KEY} 1", ["1", "10", "11"]),
        ("rerun beat_lecture 1", ["1", "10", "11"]),
        ("show nosuch ", []),
        ("show --storage nowhere.db ", []),
        ("show --storage postgresql://nobody@nowhere/x ", []),
    ],
)
def test_a_word_is_completed(
    project: Path, line: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    assert completed(line, monkeypatch, capfd) == words


def test_stored_names_are_completed_within_half_a_second(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    start = time.process_time()  # of this process only, because the machine may be busy
    assert completed("show be", monkeypatch, capfd) == [KEY]
    assert time.process_time() - start < 0.5


def test_without_a_project_nothing_is_completed_created_or_printed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    for line in ("study ", "show ", "show x ", "sample "):
        assert completed(line, monkeypatch, capfd) == []
    assert not home.exists()


def test_stored_names_are_those_of_the_storage_without_deleted_studies():
    storage = made_session().storage
    assert stored_trials() == {KEY: [trial.number for trial in storage.trials(KEY)]}
    optuna.delete_study(study_name=KEY, storage=storage.backend)
    assert stored_trials() == {}


def test_another_database_or_no_database_has_no_names(tmp_path: Path):
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "text.db").write_text("not a database, but long enough to have a header" * 10, encoding="utf-8")
    for name in ("other.db", "text.db", "missing.db"):
        assert stored_trials(str(tmp_path / name)) == {}


def test_a_locked_storage_has_no_names_and_is_not_waited_for():
    open_storage(create=True)
    with sqlite3.connect(paths.results_folder() / "studies.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert stored_trials() == {}
    other.close()
