"""A storage that version 0.2.0 wrote opens, reports, resumes and reruns (see tests/data/README.md)."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StorageError, StudyError
from harness.report.results import gather
from harness.report.summary import summary
from harness.report.write import write_report
from harness.search.rerun import rerun
from harness.store.finalist_record import Ranking
from harness.store.find import find_study
from harness.store.ledger import verify
from harness.store.opening import recorded
from harness.store.storage import Storage, open_storage
from harness.store.trial_record import TrialRecord
from harness.store.upgrade import SCHEMA, read_document, upgraded
from tests.tiny_study import search

STORED = Path(__file__).parents[1] / "data" / "storage-0.2.0.tar.gz"


@pytest.fixture
def storage(home: Path) -> Storage:
    with tarfile.open(STORED) as packed:
        packed.extractall(home, filter="data")
    return open_storage()


def holds(new: Any, old: Any, path: str = "summary") -> None:
    """Every key and value of the old document is in the new one, which may have more keys."""
    if isinstance(old, dict):
        assert old.keys() <= new.keys(), path
        for key, value in old.items():
            holds(new[key], value, f"{path}.{key}")
    elif isinstance(old, list):
        assert len(new) == len(old), path
        for place, value in enumerate(old):
            holds(new[place], value, f"{path}[{place}]")
    else:
        assert new == old, path


@pytest.mark.parametrize("key", ["stored-ssa-2017", "opened-items"])
def test_its_summary_is_the_same_key_for_key(storage: Storage, home: Path, key: str):
    before = json.loads((home / "results" / key / "summary.json").read_text(encoding="utf-8"))
    for finalist in before["finalists"]:  # its sign is the other way round since 0.4.0
        finalist["optimism"] = None if finalist["optimism"] is None else pytest.approx(-finalist["optimism"])
    holds(summary(gather(storage, find_study(storage, key))), before)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["stored-ssa-2017", "opened-items"])
def test_its_report_is_written_with_its_best_model_and_its_page(storage: Storage, key: str):
    report = write_report(storage, find_study(storage, key))
    there = {path.name for path in report.folder.iterdir()}
    assert {"report.html", "finalists.md", "leaderboard.csv", "summary.json", "samples.txt", "best"} <= there
    assert report.results.won is not None
    assert [finalist.is_recipe for finalist in report.results.study.ranking.finalists].count(True) == 1


@pytest.mark.slow
def test_a_finished_study_has_nothing_left_and_resumes_for_more_trials(storage: Storage):
    before = storage.trials("stored-ssa-2017")
    assert search("ssa-2017", study="stored").nothing_left
    session = search("ssa-2017", study="stored", trials=8)
    after = storage.trials("stored-ssa-2017")
    assert after[:6] == before
    assert [trial.status for trial in after[6:]] == ["complete", "complete"]
    assert session.record.ranking is not None
    assert session.record.created == find_study(storage, "stored-ssa-2017").created


def test_a_trial_is_trained_again_to_its_losses(storage: Storage):
    study = find_study(storage, "stored-ssa-2017")
    again = rerun(storage, study, 1)
    assert math.isclose(again.dev_nats, again.record.dev_nats or 0.0, abs_tol=1e-6)
    assert again.identical or again.changed.keys() & {"torch", "machine", "python", "numpy"}


def test_an_opened_study_stays_opened_and_its_ledger_whole(storage: Storage, home: Path):
    assert verify(storage) == []
    opening = recorded(storage, "opened-items")
    assert opening is not None
    assert opening.state == "scored"
    assert [len(row.weights) for row in opening.claim.contenders] == [2, 2, 2, 0, 0]
    assert storage.is_opened("opened-items")
    with pytest.raises(StudyError, match="closed"):
        search(home / "items.txt", study="stored", name="opened", trials=9)


def test_what_is_written_now_has_a_schema_number_and_a_later_one_is_refused():
    text = TrialRecord(number=0, seed=0).model_dump_json()
    assert json.loads(text)["schema_number"] == SCHEMA
    with pytest.raises(StorageError, match=r"must have schema 4 or lower; this storage has one of schema 5"):
        read_document(TrialRecord, text.replace(f'"schema_number":{SCHEMA}', f'"schema_number":{SCHEMA + 1}'))


def test_the_ranking_of_a_round_without_a_winner_is_read_too():
    """Version 0.2.0 stored no artifact of items where every finalist was out."""
    stored = {"seeds": [1, 2], "finalists": [], "winner": None, "resamples": 0, "items": None}
    ranking = Ranking.model_validate(upgraded({"standing": stored})["ranking"])
    assert (ranking.items_artifact, ranking.won) == (None, None)


def test_what_users_name_keeps_its_name():
    params = {"status": "a", "items": "b", "weights": 1, "standing": 2, "rounds": 3, "artifact": 4}
    stored = {"status": "complete", "params": params, "weights": "0123", "config": {"rounds": 1}}
    assert upgraded(stored) == {
        "status": "complete", "params": params, "weights_artifact": "0123", "config": {"rounds": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ['{"number": 0, "se', '{"number": 0}', '{"number": "x", "seed": 0, "schema_number": 2}']
)
def test_a_damaged_document_is_one_line(text: str):
    with pytest.raises(StorageError, match=r"must be complete; a TrialRecord in this storage is damaged"):
        read_document(TrialRecord, text)
