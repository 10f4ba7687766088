"""A study defined in a notebook: run in this process, stored like any other, shown as frames and cards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest
import torch
from matplotlib.figure import Figure
from optuna.pruners import NopPruner

from harness import AdamW, Budget, ModelConfig, Study, StudyResults, TrainConfig, results
from harness.dashboard.board import show_all
from harness.errors import ConfigError, StudyError
from harness.notebook.bar import Bars
from harness.report.write import write_report
from harness.search.events import Event
from harness.search.session import Session
from harness.store.storage import open_storage
from tests.strategies import build_plain
from tests.tiny_study import search, write_items, write_study


def suggest(trial: optuna.Trial) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(embedding_size=2, hidden_width=trial.suggest_int("width", 4, 16), context_length=2),
        optimizer=AdamW(learning_rate=1e-2),
        batch_size=32,
        budget=Budget(steps=40),
        evaluations=4,
    )


def study_on(items: Path) -> Study:
    return Study(
        "here", suggest, trials=4, finalists=0, seeds=2, corpus=str(items), reference=False,
        pruner=lambda _: NopPruner(),
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_on(write_items(tmp_path / "items.txt"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """The results of a run, which no longer need its storage."""
    home = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_HOME", str(home))
        return study_on(write_items(home / "items.txt")).run()


def test_a_run_is_stored_like_any_other_study(study: Study, home: Path):
    finished = study.run()
    assert isinstance(finished, StudyResults)
    assert finished.key == "here-items"
    assert list(finished.trials["status"]) == ["complete"] * 4
    record = open_storage().study("here-items")
    assert record is not None
    assert (record.file, record.ended_by, record.trials) == ("", "trials", 4)
    assert (home / "results" / "studies.db").is_file()
    later = results("here")
    assert later.trials.equals(finished.trials)
    assert later.samples(5) == finished.samples(5)


def test_a_second_run_resumes_the_study(study: Study):
    study.run(trials=2)
    assert len(study.run().trials) == 2  # as many as the last run requested
    assert len(study.run(trials=5).trials) == 5


def test_its_trials_have_the_seeds_of_worker_processes(study: Study):
    write_study("other", trials=2)  # with another space, because the seeds of trials do not depend on it
    corpus = study.corpus
    assert corpus is not None
    seeds = [record.seed for record in search(corpus, "other").storage.trials("other-items")]
    assert list(study.run(trials=2).trials["seed"]) == seeds


@pytest.mark.slow
def test_the_bar_counts_trials_then_the_finalists_runs(study: Study, capsys: pytest.CaptureFixture[str]):
    study.run(finalists=2)
    printed = capsys.readouterr()
    fingerprint = results("here").trials["fingerprint"][0]
    assert printed.out.startswith(f"items · fingerprint {fingerprint} · dev nats per symbol, n=")
    search_bar, finalists_bar = (line.split("\r")[-1] for line in printed.err.strip().split("\n"))
    assert search_bar.startswith("here-items: 100%")
    assert "4/4" in search_bar
    assert "one seed)" in search_bar
    assert finalists_bar.startswith("finalists on fresh seeds: 100%")
    assert "4/4" in finalists_bar


def test_finalists_are_trained_as_the_study_defines(study: Study):
    assert study.run().finalists.empty
    confirmed = dataclasses.replace(study, name="confirmed", finalists=1).run()
    assert list(confirmed.finalists["seeds"]) == [2]
    assert "mean of 2 fresh seeds" in repr(confirmed)


def test_an_interrupted_cell_requeues_its_trial_and_the_same_cell_continues(
    study: Study, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_: Bars, event: Event) -> None:
        if event.trial == 2 and event.kind == "progress":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Bars, "on_event", interrupt)
        with pytest.raises(KeyboardInterrupt, match="run the same cell again to continue"):
            study.run()
    stopped = results("here")
    assert list(stopped.trials["status"]) == ["complete", "complete", "interrupted"]
    record = open_storage().study("here-items")
    assert record is not None
    assert record.ended_by == "interrupted"
    trials = study.run().trials.set_index("trial")
    assert list(trials["status"]).count("complete") == 4
    assert trials.loc[3, "root"] == 2
    assert list(trials.loc[3, ["seed", "width"]]) == list(trials.loc[2, ["seed", "width"]])


def test_threads_and_optunas_verbosity_are_restored(study: Study):
    torch.set_num_threads(2)
    try:
        verbosity = optuna.logging.get_verbosity()
        study.run(trials=1)
        assert torch.get_num_threads() == 2
        assert optuna.logging.get_verbosity() == verbosity
    finally:
        torch.set_num_threads(1)


@pytest.mark.slow
def test_a_study_started_in_a_notebook_can_be_resumed_from_a_file_and_back(tmp_path: Path, home: Path):
    items = write_items(tmp_path / "items.txt")
    text = write_study("both", trials=2).read_text(encoding="utf-8")
    cell: dict[str, Study] = {}
    exec(text, cell)
    cell["STUDY"].run(corpus=str(items))
    session: Session = search(items, "both", trials=3)
    assert session.resumed
    assert session.record.file == str(home / "studies" / "both.py")
    assert len(cell["STUDY"].run(trials=4, corpus=str(items)).trials) == 4
    record = open_storage().study("both-items")
    assert record is not None
    assert record.file == str(home / "studies" / "both.py")  # its reports still find it


def test_the_card_names_the_best_trial_and_the_corpus_of_its_numbers(finished: StudyResults):
    card = finished._repr_html_()
    best = finished.trials["dev_nats"].min()
    fingerprint = finished.trials["fingerprint"][0]
    assert "4 trials requested: 4 complete" in card
    assert f"{best:.4f}" in card
    assert f"<strong>{best:.4f}</strong>" not in card  # one run, not confirmed on fresh seeds
    assert f"fingerprint {fingerprint}" in card
    assert "nats per symbol" in card
    assert "dev n=" in card
    assert "counted bigram" in card
    assert "The test split is sealed" in card


@pytest.mark.slow
def test_every_plot_with_data_is_a_figure(finished: StudyResults):
    figures = finished.plots()
    assert {"curves", "history", "embedding", "symbols"} <= figures.keys()
    assert "finalists" not in figures
    assert all(isinstance(figure, Figure) for figure in figures.values())


def test_an_unknown_plot_is_refused_with_a_list_of_the_known_ones(finished: StudyResults):
    with pytest.raises(ConfigError, match=r"a plot must be one of .*curves.*; got 'curve'\. Did you mean 'curves'\?"):
        finished.plot("curve")


def test_samples_are_the_same_for_a_seed(finished: StudyResults):
    assert len(finished.samples(5)) == 5
    assert finished.samples(5) == finished.samples(5)
    assert finished.samples(5, seed=1) != finished.samples(5)


@pytest.mark.slow
def test_a_model_of_a_notebook_is_sampled_there_and_reported_as_missing_elsewhere(study: Study):
    own = dataclasses.replace(study, build=build_plain)
    finished = own.run(trials=2)
    assert len(finished.samples(3)) == 3
    later = results("here")
    with pytest.raises(StudyError, match=r"run from the notebook that defines it\. Use it there, or save it"):
        later.samples()
    assert "Its model is defined only in a notebook" in later._repr_html_()
    storage = open_storage()
    record = storage.study("here-items")
    assert record is not None
    report = write_report(storage, record)  # pages and the dashboard's notes work without it
    show_all(storage, record.key, report.findings)
    assert (report.folder / "report.html").is_file()
