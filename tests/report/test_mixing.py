"""Both losses side by side in everything that shows a study, the network's own first, and which one it searched by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from harness.cli.app import run
from harness.dashboard.notes import trial_note
from harness.notebook.results import StudyResults
from harness.report.conclusion import conclusion, headline
from harness.report.frames import history_frame, lines_frame
from harness.report.results import Results, gather
from harness.report.summary import summary
from harness.report.tables.finalists import caption, remarks
from harness.report.tables.leaderboard import caption as board_caption
from harness.report.tables.leaderboard import columns_of, leaderboard, leaderboard_frame
from harness.report.tables.studies import studies_frame
from harness.report.write import write_report
from harness.store.storage import open_storage
from tests.tiny_study import brief_reference, home_at, no_plots, search, write_items, write_study


@pytest.fixture(scope="module", params=["dev", "mixed"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with the recipe and its report, by either objective."""
    folder = tmp_path_factory.mktemp(request.param)
    with home_at(folder) as patched, no_plots():
        patched.setattr("harness.search.workers.REFERENCE", brief_reference())
        write_study(trials=4, finalists=2, reference=True, objective=request.param)
        session = search(write_items(folder / "items.txt"))
        write_report(session.storage, session.record)
    return folder


@pytest.fixture
def results(project: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("HARNESS_HOME", str(project))
    storage = open_storage()
    return gather(storage, storage.study("tiny-items"))


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


def test_sentences_have_the_networks_own_loss_and_then_the_mixed_one(results: Results):
    won = results.won
    own, mixed = f"{won.dev_nats:.4f}", f"mixed with the counted {won.mixed_order}-gram {won.mixed_nats:.4f} (95 % "
    for text in (headline(results), conclusion(results)[0]):
        assert in_order(text, own, mixed)
        assert ("the objective of the search" in text) == (results.study.objective == "mixed")
    distance = results.study.distances.to("lecture's recipe")
    assert f"difference {distance.nats:+.4f}" in headline(results)


def test_tables_have_both_and_say_which_loss_the_order_is_by(results: Results):
    frame, objective = leaderboard_frame(results), results.study.objective
    finalists = {finalist.name: finalist for finalist in results.study.ranking.finalists}
    for row in frame[frame["run"].isin(finalists)].itertuples():
        finalist = finalists[row.run]
        assert (row.dev, row.mixed) == (finalist.dev_nats, finalist.mixed_nats)
        assert row.mixed_low < row.mixed < row.mixed_high
        assert 0 <= row.mixed_weight <= 1
    assert frame.loc[frame["run"].str.startswith("counted"), "mixed"].isna().all()
    by = "the mixed loss" if objective == "mixed" else "the network's own dev loss"
    assert f"The order is by {by}." in board_caption(results)
    assert f"are by {by}" in caption(results)
    marked = [column.name for column in columns_of(results) if column.marked]
    assert marked == [objective]
    assert in_order(leaderboard(results, "md"), "| dev (nats) |", "| mixed (nats) |", "| network's weight |")
    assert studies_frame([results])["mixed"].tolist() == [results.won.mixed_nats]


def test_the_remark_says_what_was_fitted_and_what_that_cost(results: Results):
    (line,) = [line for line in remarks(results.study) if line.startswith("mixed with")]
    weights = [run.mixed.weight for run in results.won.runs]
    assert f"a weight of {min(weights):.2f} to {max(weights):.2f}, fitted on dev at a cost of 0.00" in line
    assert "with the paper's fixed weight of 0.5, their mean is" in line


def test_the_summary_has_the_mixture_of_every_run_and_of_the_winner(results: Results):
    document = summary(results)
    won = results.won
    assert document["objective"] == document["ranking"]["objective"] == results.study.objective
    assert document["winner"]["dev_nats"] == won.dev_nats
    assert document["winner"]["mixed"]["dev_nats"] == won.mixed_nats
    assert document["winner"]["mixed"]["weights"] == [run.mixed.weight for run in won.runs]
    assert document["reference"]["mixed_nats"] == results.reference.mixed_nats
    assert document["finalists"][0]["seeds"][0]["mixed"]["order"] == won.mixed_order
    assert document["best"]["mixed"]["dev_nats"] == results.best.mixed_nats
    json.dumps(document, allow_nan=False)


def test_plots_have_its_level_and_the_search_in_order_is_by_the_objective(results: Results):
    levels = lines_frame(results).set_index("line")["nats"]
    assert levels[f"mixed with the counted {results.won.mixed_order}-gram"] == results.won.mixed_nats
    history = history_frame(results)
    assert history["nats"].tolist() == [trial.objective_nats for trial in results.trials]
    assert history["best_so_far"].iloc[-1] == results.best.objective_nats


def test_the_csv_files_have_both_losses_of_every_trial_and_run(project: Path, results: Results):
    folder = project / "results" / "tiny-items"
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["mixed_nats"].tolist() == pytest.approx([trial.mixed_nats for trial in results.trials])
    assert trials["mixed_fitting_cost"].ge(0).all()
    runs, items = pd.read_csv(folder / "finalists_runs.csv"), pd.read_csv(folder / "finalists_items.csv")
    for row in runs.itertuples():
        nats = items[f"{row.contender}, seed {row.seed}, mixed"].sum() / items["symbols"].sum()
        assert nats == pytest.approx(row.mixed_nats, abs=1e-6)
    table = pd.read_csv(folder / "finalists.csv").set_index("name")
    assert table["mixed_nats"].to_dict() == pytest.approx(runs.groupby("contender")["mixed_nats"].mean().to_dict())
    assert set(table["objective"]) == {results.study.objective}


def test_the_page_has_two_sets_of_samples(project: Path, results: Results):
    page = (project / "results" / "tiny-items" / "report.html").read_text(encoding="utf-8")
    order = results.won.mixed_order
    sets = rf"drawn from winner \(trial \d\) alone .*drawn from winner \(trial \d\) mixed with the counted {order}-gram"
    assert re.search(sets, page, re.DOTALL)
    assert page.count('<ul class="samples">') == 2
    shown = StudyResults(results)
    assert shown.samples(5, mixed=True) != shown.samples(5)
    assert shown.model().mixture.weight.item() == results.won.runs[0].mixed.weight


def test_a_trials_note_has_both(results: Results):
    trial = results.best
    note = trial_note(trial, results.study, "picture")
    mixed = f"mixed with the counted {trial.mixed.order}-gram, weight {trial.mixed.weight:.2f}"
    assert in_order(note, f"dev {trial.dev_nats:.4f}, mixed {trial.mixed_nats:.4f} nats", "| dev", mixed, "| train")


@pytest.mark.usefixtures("results")
def test_commands_show_both(capfd: pytest.CaptureFixture[str]):
    assert run(["show", "tiny"]) == 0
    shown = capfd.readouterr().out
    assert in_order(shown, "mean dev (nats)", "mean mixed (nats)")
    assert run(["show", "tiny", "0"]) == 0
    assert re.search(r"mixed +with the counted 2-gram \d\.\d{4} \(the network's weight", capfd.readouterr().out)
    assert run(["studies", "--json"]) == 0
    (facts,) = json.loads(capfd.readouterr().out)["stored"]
    assert facts["winner_mixed_nats"] < facts["winner_dev_nats"]
    assert run(["sample", "tiny", "--mixed", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["mixed"] is True
