"""What a study depends on changes between two sessions, or while it runs: refused in one line, or recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.cli.app import run
from harness.errors import ConfigError, ModelChanged, StudyError, TrialsFailed
from harness.holdout.freeze import _samplers
from harness.report.results import gather
from harness.report.tables.segments import changes, segments_frame
from harness.report.write import write_report
from harness.search.events import Job
from harness.search.session import Session
from harness.store.storage import Storage
from harness.study.load import load_study
from tests.tiny_study import no_plots, search, with_build, work_here, write_items, write_study

BUILD = """
import torch
from torch import nn

from harness import Autograd


class Net(nn.Module):
    def __init__(self, config, V):
        super().__init__()
        self.embedding = nn.Embedding(V, config.model.embedding_size)
        self.hidden = nn.Linear(config.model.embedding_size * config.model.context_length, 8)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(8, V)

    def forward(self, contexts):
        hidden = torch.relu(self.hidden(self.embedding(contexts).flatten(1)))
        return self.out(self.dropout(hidden))


def build(config, V, generator):
    return Autograd(Net(config, V))
"""


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "items.txt")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def before_round(change: Callable[[], None]) -> Any:
    """An engine that makes a change between the search and the finalists' round."""

    def run_job(job: Job, count: int, storage: Storage, on_event: Any) -> None:
        if job.finalists_of is not None:
            change()
        work_here(job, count, storage, on_event)

    return run_job


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("torch.relu", "torch.tanh", "the predictions that build's model makes of its weights"),
        ("nn.Linear(8, V)", "nn.Linear(8, V, bias=False)", "the tensors that build makes"),
        ("nn.Dropout(0.1)", "nn.Dropout(0.4)", "the training loss and gradient of build's model"),
        ("self.dropout = ", "nn.init.zeros_(self.hidden.weight)\n        self.dropout = ", "the initial weights"),
    ],
)
def test_another_build_is_refused_on_resume_and_while_the_study_runs(items: Path, old: str, new: str, what: str):
    path = write_study(trials=2, finalists=1)
    with_build(path, BUILD)
    with pytest.raises(StudyError, match=f"a study keeps {what}"):
        search(items, run_workers=before_round(lambda: edit(path, old, new)))
    with pytest.raises(StudyError, match=rf"a study keeps {what}.*; tiny-items was started .* with others\. Start"):
        search(items, seeds=3)
    edit(path, new, old)
    assert search(items).record.ranking is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hidden_width=8", "hidden_width=trial.number + 8"),
        ("batch_size=32", "batch_size=32 if trial.number < 50 else 16"),
    ],
)
def test_other_configs_of_the_same_parameters_are_refused(items: Path, old: str, new: str):
    path = write_study(trials=2)
    search(items)
    edit(path, old, new)
    with pytest.raises(StudyError, match="a study keeps"):
        search(items, trials=3)


def test_a_study_without_recorded_dependencies_compares_its_stored_trials(items: Path):
    path = write_study(trials=2)
    session = search(items)
    old = session.record.model_copy(update={"dependencies": None, "segments": (), "constants": {}})
    session.storage.write_study(old)
    edit(path, "hidden_width=8", "hidden_width=32")
    with pytest.raises(StudyError, match=r"trial 0 of tiny-items was trained with model.hidden_width=8 \(now 32\)"):
        search(items, trials=3)
    edit(path, "hidden_width=32", "hidden_width=8")
    resumed = search(items, trials=3).record
    assert [(part.recorded, part.sampler) for part in resumed.segments] == [
        (False, session.record.sampler),
        (True, session.record.sampler),
    ]
    assert resumed.dependencies == session.record.dependencies


def test_a_stored_study_without_dependencies_scores_its_best_weights_before_it_goes_on(items: Path):
    path = write_study(trials=2)
    with_build(path, BUILD)
    session = search(items)
    session.storage.write_study(session.record.model_copy(update={"dependencies": None}))
    edit(path, "torch.relu", "torch.tanh")
    with pytest.raises(ModelChanged, match=r"trial \d: stored weights must fit .* predicts otherwise"):
        search(items, trials=3)


def test_a_suggest_that_draws_by_itself_is_refused(items: Path):
    path = write_study()
    edit(path, "hidden_width=8", "hidden_width=__import__('random').randint(4, 400)")
    with pytest.raises(ConfigError, match=r"must give the same config for the same parameters; draw 0 gave two"):
        search(items)


def test_items_added_while_a_study_runs_are_refused_by_the_next_worker(items: Path):
    write_study(trials=2, finalists=1)

    def add() -> None:
        items.write_text(items.read_text(encoding="utf-8") + "\nzzz\nqqq", encoding="utf-8")

    with pytest.raises(StudyError, match=r"a study keeps its corpus, here items with fingerprint .*; .* now has"):
        search(items, run_workers=before_round(add))


def test_what_may_change_begins_a_segment(items: Path):
    path = write_study(trials=2)
    first = search(items)
    assert len(search(items, trials=2).record.segments) == 1  # nothing changed
    edit(path, "def suggest", "# a remark\ndef suggest")
    second = search(items, trials=3, sampler="RandomSampler")
    results = gather(second.storage, second.record)
    frame = segments_frame(results)
    assert list(frame["trials"]) == [2, 1]
    assert list(frame["sampler"]) == ["TPESampler(multivariate=True, group=True)", "RandomSampler"]
    assert first.record.segments == second.record.segments[:1]
    assert "# a remark" in second.record.segments[1].sources["tiny.py"]
    assert changes(results) == [
        f"Segment 2 began {second.record.segments[1].since} with other sampler, settings, tiny.py."
    ]
    assert [trial.segment for trial in results.trials] == [1, 1, 2]


def test_a_file_edited_while_it_runs_begins_a_segment_of_its_own(items: Path):
    path = write_study(trials=2, finalists=1)
    session = search(items, run_workers=before_round(lambda: edit(path, "def suggest", "# a remark\ndef suggest")))
    assert ["# a remark" in part.sources["tiny.py"] for part in session.record.segments] == [False, True]
    assert {run.segment for run in session.storage.trials("finalists-tiny-items")} == {2}


def test_helpers_beside_a_study_are_imported_and_belong_to_its_segment(items: Path):
    path = write_study(trials=1)
    helper = paths.studies_folder() / "_shared.py"
    helper.write_text("from harness import Budget\n\nBUDGET = Budget(steps=40)\n", encoding="utf-8")
    edit(path, "Budget(steps=40)", "BUDGET")
    edit(path, "def suggest", "from _shared import BUDGET\n\ndef suggest")
    session = search(items)
    assert sorted(session.record.segments[0].sources) == ["_shared.py", "tiny.py"]
    edit(helper, "steps=40", "steps=80")
    with pytest.raises(StudyError, match=r"a study keeps what its suggest\(\) fixes; .* budget.steps=40 \(now 80\)"):
        search(items, trials=2)


@pytest.mark.parametrize("statement", ["from ._one import X", "from studies._one import X", "import _one; X = _one.X"])
def test_a_helper_is_found_by_each_way_to_name_it_and_read_anew(statement: str):
    folder = paths.studies_folder()
    path = write_study()
    helper = folder / "_one.py"
    edit(path, "def suggest", f"{statement}\n\ndef suggest")
    for value in (3, 4):
        helper.write_text(f"X = {value}\n", encoding="utf-8")
        assert load_study("tiny")[0].suggest.__globals__["X"] == value


UNRESTORABLE = BUILD.replace("super().__init__()", "super().__init__()\n        self.steps = 0").replace(
    "hidden = torch.relu(", "self.steps += self.training\n        hidden = (1 + self.steps) * torch.relu("
)


def test_a_module_with_state_outside_its_tensors_is_refused_before_the_first_trial(items: Path):
    with_build(write_study(), UNRESTORABLE)
    with pytest.raises(ConfigError, match=r"a trained model must predict the same once its tensors\(\) are loaded"):
        search(items)
    assert not (paths.results_folder() / "studies.db").exists() or run(["show", "tiny"]) == 2


def test_weights_that_cannot_be_restored_end_the_study_at_its_first_trial(items: Path):
    """State that only shows after many steps is found when the weights of the first trial are scored again."""
    with_build(write_study(), UNRESTORABLE.replace("(1 + self.steps)", "(1 + (self.steps > 20))"))
    with pytest.raises(TrialsFailed, match=r"trial 0: stored weights must fit|that of trial 0 has a"):
        search(items)


@pytest.fixture
def finished(items: Path) -> Session:
    with_build(write_study(trials=3, finalists=1, seeds=2), BUILD)
    return search(items)


def test_a_report_refuses_weights_whose_losses_have_changed_and_keeps_the_old_one(finished: Session):
    with no_plots():
        write_report(finished.storage, finished.record)
        page = paths.results_folder() / "tiny-items" / "report.html"
        before = page.read_text(encoding="utf-8")
        assert "were scored on dev again and have the losses that were recorded" in before
        edit(Path(finished.record.file), "torch.relu", "torch.tanh")
        with pytest.raises(ModelChanged, match=r"trial \d: stored weights must fit the model .* predicts otherwise"):
            write_report(finished.storage, finished.record)
        assert page.read_text(encoding="utf-8") == before


def test_trials_without_stored_weights_are_not_checked(finished: Session):
    results = gather(finished.storage, finished.record)
    shown = {trial.number: results.weights_of([trial]) for trial in results.trials}
    assert shown == {t.number: "not checked" if t.weights_artifact is None else "checked" for t in results.trials}
    assert results.weights_of(finished.record.ranking.finalists[0].runs) == "checked"  # type: ignore[union-attr]


def test_a_rerun_with_another_build_is_refused(finished: Session, capfd: pytest.CaptureFixture[str]):
    assert run(["rerun", "tiny", "0"]) == 0
    edit(Path(finished.record.file), "torch.relu", "torch.tanh")
    assert run(["rerun", "tiny", "0"]) == 2
    assert "a study keeps the predictions that build's model makes" in " ".join(capfd.readouterr().err.split())


def test_the_samplers_of_all_segments_are_on_the_frozen_list(items: Path):
    write_study(trials=2)
    search(items)
    record = search(items, trials=3, sampler="RandomSampler").record
    assert _samplers(record) == "TPESampler(multivariate=True, group=True), then RandomSampler"
