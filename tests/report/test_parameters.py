"""Parameters as columns, whatever they are called and whatever their choices are, in a study with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import paths
from harness.cli.app import run
from harness.errors import ConfigError
from harness.report.frames import importance_frame, trials_frame
from harness.report.parameters import MEASURED, column_names
from harness.report.plots import style
from harness.report.plots.every import PLOTS
from harness.report.plots.plot import make
from harness.report.plots.search import by_parameter, levels_of
from harness.report.results import Results, gather
from harness.report.tables.leaderboard import leaderboard_frame
from harness.store.find import find_study
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage
from harness.study.choices import check_choices
from tests.tiny_study import no_plots, search, workers, write_items, write_study

NAMES = (
    "dev", "n", "gap", "train", "seconds", "trial", "status", "run", "place", "verdict", "dev_nats", "fingerprint",
    "corpus", "best_so_far", "number", "value", "state", "parameters", "dev_param",
)  # fmt: skip
CHOICES: dict[str, list[Any]] = {
    "none": [None, 4, 8],
    "flag": [True, False],
    "lists": [[1, 2], [3]],
    "dicts": [{"a": 1}, {"a": 2}],
    "several": [1, "1", None, "$x$ and $y$"],
    "digits": ["1", "02"],
    "words": ["None", None, "relu"],
}
FIRST = (
    f"[trial.suggest_float(name, 100 + i, 101 + i) for i, name in enumerate({NAMES})]; "
    f"drawn = {{name: trial.suggest_categorical(name, choices) for name, choices in {CHOICES}.items()}}; "
    "drawn['words'] == 'relu' and trial.suggest_categorical('rare', [None, True])"
)


@pytest.fixture(scope="module")
def home_of_all(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one study of twelve trials that draws all of these; its report is written without plots."""
    folder = tmp_path_factory.mktemp("parameters")
    with pytest.MonkeyPatch.context() as patched, no_plots(), workers():
        patched.setenv("HARNESS_HOME", str(folder))
        patched.setenv("HARNESS_DATA", str(data_folder))
        write_study(trials=12, finalists=2, first=FIRST)
        assert run(["study", "tiny", "--corpus", str(write_items(folder / "items.txt"))]) == 0
    return folder


@pytest.fixture
def results(home_of_all: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("HARNESS_HOME", str(home_of_all))
    storage = open_storage()
    return gather(storage, find_study(storage, "tiny"))


def test_a_parameter_named_like_a_measured_column_is_renamed_and_no_two_columns_are_alike():
    names = column_names(NAMES)
    assert names["gap"] == "gap_param"
    assert names["dev_param"] == "dev_param"  # it is a parameter's own name, so that of `dev` is longer
    assert names["dev"] == "dev_param_param"
    assert column_names(["dev", "width"]) == {"dev": "dev_param", "width": "width"}
    assert len({*names.values()} | MEASURED) == len(names) + len(MEASURED)


def test_measured_columns_keep_their_values(results: Results):
    frame, board = trials_frame(results), leaderboard_frame(results)
    for measured in (frame, board):
        assert measured.columns.is_unique
    for record, row in zip(results.trials, frame.to_dict("records"), strict=True):
        assert (row["dev_nats"], row["gap"], row["seconds"]) == (record.dev_nats, record.gap, record.seconds)
        assert (row["status"], row["verdict"], row["trial"]) == (record.status, record.verdict, record.number)
        assert row["corpus"] == "items"
        for place, name in enumerate(NAMES):
            assert row[column_names(NAMES)[name]] == record.params[name] >= 100 + place
    assert board["dev"].max() < 4 < 100 <= board["dev_param_param"].min()
    assert set(board["run"]) >= {"trial 0"} or board["run"].str.startswith("trial").any()


def test_every_place_calls_them_by_the_same_names(results: Results, capfd: pytest.CaptureFixture[str]):
    columns = list(column_names(NAMES).values())
    assert set(columns) <= set(trials_frame(results).columns) & set(leaderboard_frame(results).columns)
    assert set(columns) <= set(by_parameter(results).columns)
    assert set(columns) <= set(pd.read_csv(paths.results_folder() / "tiny-items" / "trials.csv").columns)
    with quiet_optuna():
        assert set(importance_frame(results)["parameter"]) & set(NAMES) <= {"dev_param"}
    assert run(["show", "tiny", "0", "--json"]) == 0
    assert set(columns) <= set(json.loads(capfd.readouterr().out)["parameters_drawn"])
    assert run(["table", "tiny", "--columns", "run,dev,dev_param_param", "--format", "csv"]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert shown[0].startswith("run,dev_nats,dev_param_param")


def test_choices_are_levels_in_their_order_and_none_is_one_of_them(results: Results):
    frame = by_parameter(results)
    texts = {
        "none": ["None", "4", "8"],
        "flag": ["True", "False"],
        "lists": ["[1, 2]", "[3]"],
        "dicts": ["{'a': 1}", "{'a': 2}"],
        "several": ["1", "'1'", "None", "$x$ and $y$"],
        "digits": ["1", "02"],
        "words": ["'None'", "None", "relu"],
    }
    for name, expected in texts.items():
        found = levels_of(frame[name])
        assert found is not None
        assert [text for text in expected if text in found] == found
        assert frame[name].notna().all()
    assert set(trials_frame(results)["none"]) <= {"None", 4, "4", 8, "8"}
    assert trials_frame(results)["flag"].map(type).eq(bool).all()
    without = trials_frame(results).loc[lambda frame: frame["words"] != "relu", "rare"]
    assert without.isna().all()


def test_every_plot_shows_them(results: Results):
    with style.look(), quiet_optuna():
        made = {plot.name: make(plot, results) for plot in PLOTS}
    assert [each.failure for each in made.values() if each.failure] == []
    assert [name for name in ("slices", "parallel", "importance") if made[name].frame.empty] == []
    assert any("and" in text.get_text() for text in made["slices"].figure.axes[-1].figure.findobj(_is_text))


def _is_text(artist: object) -> bool:
    return type(artist).__name__ == "Text"


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ([(1, 2), (3, 4)], r"'p' has \(1, 2\)"),
        ([int, str], "'p' has <class 'int'>"),
        ([1.0, float("inf")], "'p' has inf"),
        ([{1: 2}], r"'p' has \{1: 2\}"),
        ([1, True], "choices must differ; 'p' has 1 and True, which are equal"),
        ([1.0, 1], "'p' has 1.0 and 1, which are equal"),
    ],
)
def test_choices_that_would_come_back_as_others_are_refused(choices: list[Any], line: str):
    with pytest.raises(ConfigError, match=line):
        check_choices("p", choices)


def test_they_are_refused_before_the_search(tmp_path: Path):
    write_study(first="trial.suggest_categorical('p', [(1, 2), (3, 4)])")
    with pytest.raises(ConfigError, match="a choice must be None"), pytest.warns(UserWarning, match="Choices for"):
        search(write_items(tmp_path / "items.txt"))
    assert not paths.results_folder().exists()
