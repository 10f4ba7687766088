"""Real processes: twenty that open one test split at once, and a finalists' round killed half-way."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.errors import StudyError
from harness.holdout import open as holdout
from harness.search.finalists import wanted_runs
from harness.search.reference import fresh_seeds
from harness.store import ledger
from harness.store.keys import finalists_key
from harness.store.storage import open_storage
from harness.store.trial_record import TrialRecord
from tests.tiny_study import search, write_items, write_study

KEY = "tiny-items"
OPENERS = 20


def open_once(home: str, ready: Any, told: Any) -> None:
    """One of many processes; as if on a machine of its own, it knows no lock of the others."""
    os.environ["HARNESS_HOME"] = home
    holdout.sole_run = lambda _key: nullcontext()
    storage = open_storage()
    record = storage.study(KEY)
    ready.wait()
    try:
        opening, now = holdout.open_holdout(storage, record)
        told.put((now, opening.scores.scores[0].test_nats))
    except StudyError as error:
        told.put((False, str(error)))


def test_of_twenty_processes_at_once_one_opens_the_split(home: Path, tmp_path: Path):
    write_study(trials=2, finalists=1)
    storage = search(write_items(tmp_path / "items.txt")).storage
    context = multiprocessing.get_context("forkserver")  # torch is loaded once, not twenty times
    context.set_forkserver_preload([__name__])
    ready, told = context.Barrier(OPENERS), context.Queue()
    openers = [context.Process(target=open_once, args=(str(home), ready, told), daemon=True) for _ in range(OPENERS)]
    for opener in openers:
        opener.start()
    answers = [told.get(timeout=120) for _ in openers]
    for opener in openers:
        opener.join()
    assert sum(now for now, _ in answers) == 1
    (nats,) = {said for now, said in answers if now}
    for now, said in answers:
        assert now or said == nats or "another has just claimed" in said or "Wait for it" in said, said
    assert [entry.step for entry in ledger.entries(storage)] == ["claimed", "scored"]
    assert ledger.verify(storage) == []


def begin_in_background(items: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "study", "tiny", "--corpus", str(items), "--workers", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.05)


def complete_runs() -> list[TrialRecord]:
    try:
        return [run for run in open_storage().trials(finalists_key(KEY)) if run.status == "complete"]
    except Exception:  # not there yet
        return []


@pytest.mark.usefixtures("home")
def test_a_round_whose_every_process_was_killed_goes_on_to_exactly_its_runs(tmp_path: Path):
    items = write_items(tmp_path / "items.txt")
    write_study(trials=2, finalists=2, seeds=4, budget="steps=4000", evaluations=20)
    study = begin_in_background(items)
    wait_for(lambda: len(complete_runs()) >= 2)
    study.kill()
    study.communicate()
    time.sleep(1)  # its workers notice, and go
    before = complete_runs()
    assert 2 <= len(before) < 8
    assert open_storage().study(KEY).ranking is None
    again = begin_in_background(items)
    shown, _ = again.communicate(timeout=150)
    assert again.returncode == 0, shown
    assert "resuming tiny-items" in shown
    storage = open_storage()
    after = complete_runs()
    assert [run for run in after if run.number in {r.number for r in before}] == before
    assert len(after) == 8
    wanted = wanted_runs(storage, storage.study(KEY))
    assert {(r.params["trial"], r.params["repeat"]): r.seed for r in after} == wanted
    assert set(wanted.values()) == set(fresh_seeds(4))
    assert {r.status for r in storage.trials(finalists_key(KEY))} <= {"complete", "interrupted"}
    assert len(storage.study(KEY).ranking.finalists) == 2
    assert (paths.results_folder() / KEY / "finalists_items.csv").exists()
