"""Real processes: twenty open one test split at the same time, and a finalists' round is killed half-way."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import paths
from harness.cli.app import run
from harness.errors import StudyError
from harness.holdout import open as holdout
from harness.search.reference import fresh_seeds
from harness.store import ledger
from harness.store.keys import finalists_key
from harness.store.storage import open_storage
from harness.store.trial_record import TrialRecord
from tests.tiny_study import (
    begin_in_background,
    round_of,
    search,
    stored_trials,
    wait_for,
    with_build,
    write_items,
    write_study,
)

pytestmark = pytest.mark.slow

KEY = "tiny-items"
OPENERS = 20


def open_once(home: str, ready: Any, told: Any) -> None:
    """Open the split in one of many processes, without the lock file: on other machines there is none."""
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
    assert [entry.step for entry in ledger.entries(storage)] == ["claimed", "items", "scored"]
    assert ledger.verify(storage) == []


def complete_runs() -> list[TrialRecord]:
    return [record for record in stored_trials(finalists_key(KEY)) if record.status == "complete"]


def held_at_seed(seed: int, hold: Path) -> str:
    """A `build` that waits, as long as the file `hold` is there, before it makes the model of this seed."""
    hold.touch()
    return (
        "import os, time\nfrom harness import CharMLP\n\ndef build(config, V, generator):\n"
        f"    while config.seed == {seed} and os.path.exists({str(hold)!r}):\n"
        "        time.sleep(0.05)\n"
        "    return CharMLP.build(config, V, generator)"
    )


@pytest.mark.usefixtures("home", "one_process", "plotless")
def test_a_round_whose_processes_were_all_killed_resumes_to_exactly_its_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    items, hold = write_items(tmp_path / "items.txt"), tmp_path / "hold"
    path = write_study(trials=2, finalists=2, seeds=4)
    with_build(path, held_at_seed(fresh_seeds(4)[2], hold))
    with begin_in_background("--corpus", str(items), "--workers", "1") as study:
        wait_for(lambda: len(complete_runs()) == 4)
        workers = psutil.Process(study.pid).children(recursive=True)
        study.kill()
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in workers))
    hold.unlink()
    before = complete_runs()
    assert len(before) == 4
    assert open_storage().study(KEY).ranking is None
    assert run(["study", "tiny", "--corpus", str(items)]) == 0
    assert "resuming tiny-items" in capfd.readouterr().out
    storage = open_storage()
    after = complete_runs()
    assert [r for r in after if r.number in {b.number for b in before}] == before
    assert len(after) == 8
    wanted = round_of(storage, storage.study(KEY)).wanted
    assert {(r.params["trial"], r.params["repeat"]): r.seed for r in after} == wanted
    assert set(wanted.values()) == set(fresh_seeds(4))
    assert {r.status for r in storage.trials(finalists_key(KEY))} <= {"complete", "interrupted"}
    assert len(storage.study(KEY).ranking.finalists) == 2
    assert (paths.results_folder() / KEY / "finalists_items.csv").exists()
