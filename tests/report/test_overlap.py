"""A dev split whose items are in train is said in the terminal, on the page and in the overview of studies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import paths
from harness.cli.app import run
from harness.corpus import Overlap
from harness.store.storage import open_storage
from harness.store.study_record import DevParts
from tests.tiny_study import write_study

WARNING = (
    "warning: all 300 dev items are also in train, so the dev loss says little about new items "
    "(the corpus with -dedup appended leaves repeated items out)"
)


@pytest.mark.slow
def test_a_dev_split_that_is_all_in_train_is_warned_of_before_every_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    items = tmp_path / "items.txt"
    items.write_text("\n".join(f"item{number % 110}" for number in range(3000)), encoding="utf-8")
    write_study(trials=2, budget="steps=20", evaluations=2)
    assert run(["study", "tiny", "--corpus", str(items), "--workers", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[2] == WARNING  # at the start
    assert lines[lines.index(WARNING, 3) + 1].startswith("best dev ")
    assert run(["show", "tiny"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == WARNING
    assert run(["report"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == WARNING
    assert run(["studies"]) == 0
    assert "warning: 100 %" in capfd.readouterr().out

    folder = paths.results_folder() / "tiny-items"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.index(f"W{WARNING[1:]}.") < page.index("has the lowest dev loss")
    assert "All 300 dev items are also in train: trial" in page
    assert f"- {WARNING}" in (folder / "overview.md").read_text(encoding="utf-8")
    assert "warning: 100 %" in (paths.results_folder() / "index.html").read_text(encoding="utf-8")
    overlap = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["corpus"]["overlap"]
    assert overlap == {"dev_items": 300, "same": 300, "case": 0, "normal_form": 0, "white_space": 0, "several": 0}

    storage = open_storage()
    record = storage.study("tiny-items")
    assert record is not None
    not_recorded = record.model_copy(update={"corpus": record.corpus.model_copy(update={"overlap": None})})
    assert not_recorded.overlap == Overlap(dev_items=300, same=300)  # from what was measured for the best trial
    assert isinstance(not_recorded.dev_parts, DevParts)
    assert not_recorded.model_copy(update={"dev_parts": None}).overlap is None
