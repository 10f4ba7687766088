"""A study over the knobs of the model and of the optimiser, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import load, paths
from harness.cli.app import run
from harness.report.conclusion import config_rows
from harness.report.results import gather
from harness.report.tables.leaderboard import leaderboard, leaderboard_frame
from harness.search.workers import _summary
from harness.store.find import find_study
from harness.store.storage import open_storage
from harness.store.weights import restore
from harness.train import split_nats
from tests.tiny_study import home_at, search, write_items

FILE = """
from optuna.samplers import GridSampler

from harness import AdamW, Budget, ModelConfig, Study, TrainConfig

SHAPES = {"plain": {}, "direct": {"direct_connections": True}, "both": {"second_width": 4, "direct_connections": True},
          "linear": {"hidden_width": 0, "direct_connections": True}}

def suggest(trial):
    knobs = SHAPES[trial.suggest_categorical("shape", list(SHAPES))]
    return TrainConfig(
        model=ModelConfig(**{"embedding_size": 4, "hidden_width": 8, "context_length": 2, **knobs}),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=0.1, decay_biases=False),
        dropout=0.1, batch_size=64, budget=Budget(steps=60), evaluations=2,
    )

STUDY = Study(
    name="knobs", suggest=suggest, trials=4, minutes=2, finalists=2, seeds=2, reference=False,
    sampler=lambda seed: GridSampler({"shape": list(SHAPES)}, seed=seed),
)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of that study."""
    folder = tmp_path_factory.mktemp("knobs")
    with home_at(folder):
        paths.studies_folder().mkdir(parents=True, exist_ok=True)
        (paths.studies_folder() / "knobs.py").write_text(FILE, encoding="utf-8")
        search(write_items(folder / "items.txt"), "knobs")
    return folder


@pytest.fixture
def found(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HARNESS_HOME", str(project))
    storage = open_storage()
    return gather(storage, find_study(storage, "knobs"))


def test_every_kind_of_model_is_trained_and_counted(found: Any, project: Path):
    V = load(str(project / "items.txt")).vocabulary_size
    plain = 4 * V + 2 * 4 * 8 + 8 + 8 * V + V
    counted = {
        "plain": plain,
        "direct": plain + 2 * 4 * V,
        "both": plain - 8 * V + 4 * V + 8 * 4 + 4 + 2 * 4 * V,
        "linear": 4 * V + V + 2 * 4 * V,
    }
    assert {trial.params["shape"]: trial.parameters for trial in found.trials} == counted
    assert {trial.status for trial in found.trials} == {"complete"}


def test_stored_weights_have_the_loss_that_was_recorded_for_them(found: Any, project: Path):
    storage, counts = open_storage(), load(str(project / "items.txt")).counts("dev", 2)
    runs = [run for finalist in found.study.ranking.finalists for run in finalist.runs]
    for each in [trial for trial in found.trials if trial.weights_artifact] + runs:
        model, _ = restore(storage.kept_file(each.weights_artifact))
        assert split_nats(model, counts) == pytest.approx(each.dev_nats, abs=1e-6)


def test_knobs_that_are_on_are_columns_settings_and_words(found: Any):
    frame = leaderboard_frame(found).dropna(subset="shape").set_index("shape")
    assert frame.loc["both", "hidden"] == 8
    assert frame.loc["both", "model.second_width"] == 4
    assert frame.loc["linear", "hidden"] == 0
    on = frame["model.direct_connections"].reindex(["direct", "both", "linear"]).tolist()
    assert on == [True, True, True]
    assert "| direct_connections | second_width |" in leaderboard(found, "md")
    assert ("optimizer.decay_biases", "false") in config_rows(found)
    words = {trial.params["shape"]: _summary(trial) for trial in found.trials}
    assert words["plain"].startswith("E4 H8 T2 ")
    assert words["both"].startswith("E4 H8+4 direct T2 ")
    assert words["linear"].startswith("E4 H0 direct T2 ")


@pytest.mark.slow
def test_every_trial_can_be_rerun(found: Any, capfd: pytest.CaptureFixture[str]):
    for trial in found.trials:
        assert run(["rerun", "knobs", str(trial.number)]) == 0
        assert "identical to the last bit" in capfd.readouterr().out
