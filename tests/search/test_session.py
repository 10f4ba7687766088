"""How a study starts: its calls to the database, and what a resumed study keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.app import run
from harness.corpus import load
from harness.errors import CorpusUnavailable, StudyError
from harness.search.engines.in_process import work
from harness.search.events import Event, Job
from harness.search.session import Session
from harness.store.storage import Storage
from tests.tiny_study import search, write_items, write_study


class _FirstTrialStarted(Exception):
    pass


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "items.txt")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the public methods of Storage that are called, in order."""
    called: list[str] = []

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            return method(*args, **kwargs)

        return call

    for name, method in inspect.getmembers(Storage, inspect.isfunction):
        if not name.startswith("_"):
            monkeypatch.setattr(Storage, name, counted(name, method))
    return called


def _raise(error: Exception) -> None:
    raise error


def to_first_trial(items: Path, **asked: Any) -> None:
    def engine(job: Job, _count: int, storage: Storage, _on_event: object) -> None:
        def on_event(event: Event) -> None:
            if event.kind == "started":
                raise _FirstTrialStarted

        work(None, job, storage, on_event)

    with pytest.raises(_FirstTrialStarted):
        search(items, run_workers=engine, **asked)


@pytest.mark.parametrize("reference", [True, False])
def test_a_new_study_asks_the_database_fewer_than_ten_times_before_its_first_trial(
    items: Path, calls: list[str], reference: bool
):
    write_study(finalists=2, reference=reference)
    to_first_trial(items)
    before = calls[: calls.index("write_trial") + 1]
    assert len(before) < 10, before


def test_so_does_the_command_with_its_display_and_the_default_corpus(calls: list[str], monkeypatch: pytest.MonkeyPatch):
    """Counted from the command line to the first trial that a worker owns."""

    def engine(job: Job, _count: int, storage: Storage, _on_event: object) -> None:
        work(None, job, storage, stop_at_start)

    def stop_at_start(event: Event) -> None:
        if event.kind == "started":
            raise KeyboardInterrupt

    unavailable = CorpusUnavailable("names are not here.")
    monkeypatch.setattr(
        "harness.search.session.load", lambda spec, **_: _raise(unavailable) if spec == "names" else load(spec)
    )
    monkeypatch.setattr("harness.search.session.run_workers", engine)
    write_study(finalists=2, reference=True)
    assert run(["study", "tiny", "--workers", "1"]) == 130
    before = calls[: calls.index("write_trial") + 1]
    assert len(before) < 10, before


def test_a_resumed_study_asks_the_database_fewer_than_ten_times_before_its_next_trial(items: Path, calls: list[str]):
    write_study(trials=2, finalists=0)
    search(items)
    calls.clear()
    to_first_trial(items, trials=4)
    before = calls[: calls.index("write_trial") + 1]
    assert len(before) < 10, before


def settings_of(session: Session) -> dict[str, Any]:
    return {name: getattr(session.record.settings, name) for name in ("trials", "finalists", "seeds", "pruner", "seed")}


@pytest.mark.slow
def test_a_resumed_study_keeps_what_was_asked_before_and_takes_what_is_asked_now(items: Path):
    write_study(trials=2, finalists=0)
    first = search(items, seed=3, pruner="NopPruner", seeds=4)
    assert settings_of(first) == {"trials": 2, "finalists": 0, "seeds": 4, "pruner": "NopPruner", "seed": 3}
    assert first.record.settings.minutes is None  # not remembered
    second = search(items, trials=3, pruner="MedianPruner")
    assert settings_of(second) == {"trials": 3, "finalists": 0, "seeds": 4, "pruner": "MedianPruner", "seed": 3}
    assert second.record.pruner == "MedianPruner(n_startup_trials=8, n_warmup_steps=20)"
    assert second.record.sampler == "TPESampler(multivariate=True, group=True)"
    with pytest.raises(StudyError, match=r"a study keeps its seed; .* with SEED=3, got 4\."):
        search(items, seed=4)


@pytest.mark.slow
def test_a_study_of_version_0_3_0_resumes_under_the_fingerprint_of_its_items(items: Path):
    """Up to 0.3.0 a fingerprint was one of bytes, so a file that ended with a newline had another one."""
    items.write_bytes(items.read_bytes() + b"\n")
    write_study(trials=2, finalists=0)
    session = search(items)
    storage, record, corpus = session.storage, session.record, load(str(items))
    over_bytes = next(each for each in corpus.fingerprints if each != corpus.fingerprint)
    old = record.corpus.model_copy(update={"fingerprint": over_bytes})
    storage.write_study(record.model_copy(update={"corpus": old}))
    assert search(items, trials=3).record.corpus.fingerprint == corpus.fingerprint


@pytest.mark.slow
def test_a_recipe_that_cannot_be_trained_is_abandoned_after_three_attempts(
    items: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("harness.search.reference.train_seeds", fails)
    write_study(trials=2, finalists=0, reference=True)
    session = search(items)
    assert session.record.ended_by == "trials"
    assert session.record.reference is not None
    assert [trial.attempt for trial in session.storage.trials(session.record.reference)] == [0, 1, 2]
    assert search(items).nothing_left
