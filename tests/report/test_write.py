"""Reports of studies that went wrong, and reports that go wrong: what is written, what is said, and what stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import matplotlib.figure
import optuna
import pandas as pd
import pytest

from harness import SGD, Budget, Constant, ModelConfig, TrainConfig, paths
from harness.cli.app import run
from harness.errors import StudyError
from harness.files import rewriting
from harness.report import write
from harness.report.plots import style
from harness.report.plots.curves import CURVES
from harness.report.plots.every import PLOTS
from harness.report.plots.plot import make
from harness.report.plots.search import HISTORY
from harness.report.results import gather
from harness.report.write import write_report
from harness.search.engines.in_process import run_in_process
from harness.search.request import Request
from harness.store.find import find_study
from harness.store.storage import open_storage
from harness.study.definition import Study
from harness.study.settings import Settings
from tests.tiny_study import search, write_items, write_study


def config_of(trial: optuna.Trial, rate: float) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(embedding_size=2, hidden_width=trial.suggest_int("width", 4, 40), context_length=2),
        optimizer=SGD(learning_rate=rate),
        schedule=Constant(),
        batch_size=32,
        budget=Budget(steps=10),
        evaluations=2,
    )


def all_diverge(trial: optuna.Trial) -> TrainConfig:
    return config_of(trial, 1e25)


def one_is_complete(trial: optuna.Trial) -> TrainConfig:
    return config_of(trial, 1e25 if trial.number else 0.1)


def all_pruned(trial: optuna.Trial) -> TrainConfig:
    config = config_of(trial, 0.1)
    if trial.number < 3:  # the draws before the search begin with 0 too, but there are 200 of them
        raise optuna.TrialPruned("not this one")
    return config


@pytest.mark.parametrize(
    ("suggest", "headline"),
    [
        (all_diverge, "wrong-items: no trial is complete: 3 diverged"),
        (all_pruned, "wrong-items: no trial is complete: 3 pruned"),
        (one_is_complete, "winner trial 0: dev "),
    ],
)
def test_a_study_that_went_wrong_has_a_whole_report(
    tmp_path: Path, suggest: Callable[[optuna.Trial], TrainConfig], headline: str, capfd: pytest.CaptureFixture[str]
):
    items = write_items(tmp_path / "items.txt")
    study = Study(name="wrong", suggest=suggest, trials=3, finalists=2, seeds=1, reference=False)
    request = Request(study="wrong", settings=Settings(corpus=str(items)))
    session = run_in_process(study, request, lambda _: None, lambda _: None)
    results = gather(session.storage, session.record)
    with style.look():
        assert [made.failure for made in (make(plot, results) for plot in PLOTS) if made.failure] == []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(write, "PLOTS", ())
        assert run(["report", "wrong"]) == 0
    assert headline in capfd.readouterr().out
    frame = pd.read_csv(paths.results_folder() / "wrong-items" / "trials.csv")
    assert len(frame) >= 3
    if suggest is all_pruned:
        assert set(frame["pruned_because"]) == {"suggest() raised TrialPruned: not this one"}
        assert frame["width"].notna().all()
        assert frame["dev_nats"].isna().all()


def broken(*_: object) -> pd.DataFrame:
    raise ZeroDivisionError("no such luck")


@pytest.fixture
def two_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small studies, `a` and `b`; returns the results folder. Reports have one plot."""
    items = write_items(tmp_path / "items.txt")
    for name in ("a", "b"):
        write_study(name, trials=1)
        search(items, study=name)
    monkeypatch.setattr(write, "PLOTS", (HISTORY,))
    return paths.results_folder()


def test_a_plot_that_fails_is_said_in_its_place_and_everything_else_is_written(
    two_studies: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(write, "PLOTS", (dataclasses.replace(CURVES, data=broken), HISTORY))
    assert run(["report"]) == 1
    failure = "curves could not be drawn: ZeroDivisionError: no such luck"
    shown = capfd.readouterr()
    assert shown.err.splitlines() == [f"harness: a-items: {failure}", f"harness: b-items: {failure}"]
    for key in ("a-items", "b-items"):
        assert f"{two_studies / key}: best dev" in shown.out
        page = (two_studies / key / "report.html").read_text(encoding="utf-8")
        assert failure in page
        assert "Dev loss of 1 trial in order" in page
        assert (two_studies / key / "summary.json").is_file()


def test_a_study_whose_report_fails_does_not_keep_others_from_theirs(
    two_studies: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    assert run(["report"]) == 0
    before = (two_studies / "a-items" / "report.html").read_bytes()
    storage = open_storage()
    weights = gather(storage, find_study(storage, "a")).trials[0].weights_artifact
    assert weights is not None
    (two_studies / "artifacts" / weights).unlink()
    (two_studies / "b-items" / "report.html").unlink()
    capfd.readouterr()
    assert run(["report"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("harness: no report of a-items: stored files must stay in the artifact store")
    assert (two_studies / "b-items" / "report.html").is_file()
    assert (two_studies / "a-items" / "report.html").read_bytes() == before
    assert "a-items is left out: stored files must stay" in (two_studies / "index.html").read_text(encoding="utf-8")
    monkeypatch.setattr(write, "report_page", broken)
    assert run(["report", "b"]) == 1
    assert "no report of b-items: ZeroDivisionError: no such luck" in capfd.readouterr().err


def test_a_report_that_stops_in_the_middle_leaves_the_earlier_one_and_is_cleaned_up_by_the_next(two_studies: Path):
    storage = open_storage()
    record = find_study(storage, "a")
    folder = write_report(storage, record).folder
    (folder / "mine.txt").write_text("notes", encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def stops(*_: object) -> str:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(write, "report_page", stops)
        patched.setattr("harness.files.shutil.rmtree", lambda *_, **__: None)  # as if it was killed
        with pytest.raises(KeyboardInterrupt):
            write_report(storage, record)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (two_studies / ".a-items.new" / "trials.csv").is_file()
    write_report(storage, record)
    assert not (two_studies / ".a-items.new").exists()
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "notes"


def test_files_of_an_earlier_report_go_and_those_of_others_a_model_and_a_trace_stay(tmp_path: Path):
    folder = tmp_path / "key"
    with rewriting(folder, ("best/", "holdout")) as new:
        for name in ("page", "old", "plots/old", "best/model", "holdout.md"):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text("first", encoding="utf-8")
    (folder / "mine").write_text("mine", encoding="utf-8")
    with rewriting(folder, ("best/", "holdout")) as new:
        (new / "page").write_text("second", encoding="utf-8")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {".written", "page", "best/model", "holdout.md", "mine"}
    assert (folder / "page").read_text(encoding="utf-8") == "second"
    with suppress(StudyError), rewriting(folder) as new:
        (new / "page").write_text("third", encoding="utf-8")
        raise StudyError("stopped")
    assert (folder / "page").read_text(encoding="utf-8") == "second"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.usefixtures("two_studies")
def test_a_notebook_shows_the_failure_of_a_plot_too(monkeypatch: pytest.MonkeyPatch):
    from harness import results

    monkeypatch.setattr("harness.report.plots.every.PLOTS", (dataclasses.replace(CURVES, data=broken), HISTORY))
    figures = results("a").plots()
    assert list(figures) == ["curves", "history"]
    assert all(isinstance(figure, matplotlib.figure.Figure) for figure in figures.values())
