"""A study that a notebook defines: run in the present process, stored like any other, shown as frames and cards."""

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
def found(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """What a run gave: a snapshot that needs its storage no more."""
    home = tmp_path_factory.mktemp("found")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_HOME", str(home))
        return study_on(write_items(home / "items.txt")).run()


def test_a_run_is_stored_as_any_other_study_is(study: Study, home: Path):
    found = study.run()
    assert isinstance(found, StudyResults)
    assert found.key == "here-items"
    assert list(found.trials["status"]) == ["complete"] * 4
    record = open_storage().study("here-items")
    assert record is not None
    assert (record.file, record.ended_by, record.trials) == ("", "trials", 4)
    assert (home / "results" / "studies.db").is_file()
    later = results("here")
    assert later.trials.equals(found.trials)
    assert later.samples(5) == found.samples(5)


def test_a_further_run_carries_on(study: Study):
    study.run(trials=2)
    assert len(study.run().trials) == 2  # as many as were asked for last
    assert len(study.run(trials=5).trials) == 5


def test_its_trials_are_those_of_worker_processes(study: Study):
    write_study("other", trials=2)  # its own space, for the seeds of trials do not depend on it
    corpus = study.corpus
    assert corpus is not None
    seeds = [record.seed for record in search(corpus, "other").storage.trials("other-items")]
    assert list(study.run(trials=2).trials["seed"]) == seeds


def test_the_bar_counts_trials_then_the_finalists_runs(study: Study, capsys: pytest.CaptureFixture[str]):
    study.run(finalists=2)
    said = capsys.readouterr()
    fingerprint = results("here").trials["fingerprint"][0]
    assert said.out.startswith(f"items · fingerprint {fingerprint} · dev nats per symbol, n=")
    search_bar, finalists_bar = (line.split("\r")[-1] for line in said.err.strip().split("\n"))
    assert search_bar.startswith("here-items: 100%")
    assert "4/4" in search_bar
    assert "one seed)" in search_bar
    assert finalists_bar.startswith("finalists on fresh seeds: 100%")
    assert "4/4" in finalists_bar


def test_finalists_are_trained_as_the_study_says(study: Study):
    assert study.run().finalists.empty
    confirmed = dataclasses.replace(study, name="confirmed", finalists=1).run()
    assert list(confirmed.finalists["seeds"]) == [2]
    assert "mean of 2 fresh seeds" in repr(confirmed)


def test_an_interrupted_cell_puts_its_trial_back_and_the_same_cell_carries_on(
    study: Study, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_: Bars, event: Event) -> None:
        if event.trial == 2 and event.kind == "progress":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Bars, "on_event", interrupt)
        with pytest.raises(KeyboardInterrupt, match="the same cell again carries on"):
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


def test_threads_and_optunas_words_are_as_before(study: Study):
    torch.set_num_threads(2)
    try:
        words = optuna.logging.get_verbosity()
        study.run(trials=1)
        assert torch.get_num_threads() == 2
        assert optuna.logging.get_verbosity() == words
    finally:
        torch.set_num_threads(1)


def test_a_study_begun_in_a_notebook_can_be_carried_on_from_a_file_and_back(tmp_path: Path, home: Path):
    items = write_items(tmp_path / "items.txt")
    text = write_study("both", trials=2).read_text()
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


def test_the_card_says_what_won_and_what_its_numbers_belong_to(found: StudyResults):
    card = found._repr_html_()
    best = found.trials["dev_nats"].min()
    fingerprint = found.trials["fingerprint"][0]
    assert "4 trials asked for: 4 complete" in card
    assert f"<strong>{best:.4f}</strong>" in card
    assert f"fingerprint {fingerprint}" in card
    assert "nats per symbol" in card
    assert "dev n=" in card
    assert "counted bigram" in card
    assert "The test split is sealed" in card


def test_every_plot_with_something_to_show_is_a_figure(found: StudyResults):
    figures = found.plots()
    assert {"curves", "history", "embedding", "symbols"} <= figures.keys()
    assert "finalists" not in figures
    assert all(isinstance(figure, Figure) for figure in figures.values())


def test_an_unknown_plot_is_refused_with_the_known_ones(found: StudyResults):
    with pytest.raises(ConfigError, match=r"a plot must be one of .*curves.*; got 'curve'\. Did you mean 'curves'\?"):
        found.plot("curve")


def test_samples_repeat_for_a_seed(found: StudyResults):
    assert len(found.samples(5)) == 5
    assert found.samples(5) == found.samples(5)
    assert found.samples(5, seed=1) != found.samples(5)


def test_a_notebooks_own_model_is_drawn_from_there_and_its_absence_said_elsewhere(study: Study):
    own = dataclasses.replace(study, build=build_plain)
    found = own.run(trials=2)
    assert len(found.samples(3)) == 3
    later = results("here")
    with pytest.raises(StudyError, match=r"run from a notebook that defines it\. Run it there again, or save it"):
        later.samples()
    assert "Its model is defined in a notebook alone" in later._repr_html_()
    storage = open_storage()
    record = storage.study("here-items")
    assert record is not None
    report = write_report(storage, record)  # pages and the dashboard's notes do without it
    show_all(storage, record.key, report.findings)
    assert (report.folder / "report.html").is_file()
