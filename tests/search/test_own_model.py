"""A study of a user's own model with running statistics, frozen weights and settings of its own, from end to end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import AdamW, Corpus, ModelConfig, TrainConfig, load, paths, results, train
from harness.cli.app import run
from harness.dashboard.notes import trial_note
from harness.errors import ConfigError, StudyError
from harness.holdout.open import open_holdout
from harness.report.conclusion import config_rows
from harness.report.results import gather
from harness.report.tables.leaderboard import leaderboard, leaderboard_frame
from harness.store.find import find_study
from harness.store.storage import open_storage
from harness.store.weights import restore
from harness.study.load import load_study
from harness.study.space import space_of
from harness.train import split_nats
from tests.tiny_study import home_at, no_plots, search, write_items

FILE = """
from torch import nn

from harness import AdamW, Autograd, Budget, ModelConfig, Study, TrainConfig

def build(config, vocabulary_size, generator):
    model, activation = config.model, {"relu": nn.ReLU, "tanh": nn.Tanh}[config.model.extra["activation"]]
    size, width = model.context_length * model.embedding_size, model.hidden_width
    layers = [nn.Embedding(vocabulary_size, model.embedding_size), nn.Flatten()]
    layers[0].weight.requires_grad_(False)
    for _ in range(model.extra["layers"]):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), activation()]
        size = width
    return Autograd(nn.Sequential(*layers, nn.Linear(size, vocabulary_size)))

def suggest(trial):
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    extra = {"layers": trial.suggest_int("layers", 1, 2), "activation": activation, "version": "2"}
    return TrainConfig(
        model=ModelConfig(embedding_size=4, hidden_width=16, context_length=2, extra=extra),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=1.0), batch_size=64, budget=Budget(steps=60), evaluations=2,
    )

STUDY = Study(
    name="own", suggest=suggest, build=build, trials=3, minutes=2, finalists=2, seeds=2, reference=False,
)
"""


def write_own(text: str = FILE) -> None:
    paths.studies_folder().mkdir(parents=True, exist_ok=True)
    (paths.studies_folder() / "own.py").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of that study."""
    folder = tmp_path_factory.mktemp("own")
    with home_at(folder):
        write_own()
        search(write_items(folder / "items.txt"), "own")
    return folder


@pytest.fixture
def found(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HARNESS_HOME", str(project))
    storage = open_storage()
    return gather(storage, find_study(storage, "own"))


@pytest.fixture
def corpus(project: Path) -> Corpus:
    return load(str(project / "items.txt"))


def test_stored_weights_have_the_loss_that_was_recorded_for_them(found: Any, corpus: Corpus):
    storage, build = open_storage(), load_study("own")[0].build
    runs = [run for finalist in found.study.ranking.finalists for run in finalist.runs]
    kept = [trial for trial in found.trials if trial.weights_artifact] + runs
    assert len(kept) >= 5
    for each in kept:
        model, _ = restore(storage.kept_file(each.weights_artifact), build)
        assert split_nats(model, corpus.counts("dev", 2)) == pytest.approx(each.dev_nats, abs=1e-6)


def test_a_mean_lies_inside_its_own_interval(found: Any):
    for finalist in found.study.ranking.finalists:
        assert finalist.low < finalist.dev_nats < finalist.high


def test_frozen_weights_are_stored_as_they_were_made_and_not_counted(found: Any, corpus: Corpus):
    layers = {trial.number: trial.config.model.extra["layers"] for trial in found.trials}
    V, one, two = corpus.vocabulary_size, 8 * 16 + 16 + 32, 16 * 16 + 16 + 32
    for trial in found.trials:
        assert trial.parameters == one + (two if layers[trial.number] == 2 else 0) + 16 * V + V
    trial = next(trial for trial in found.trials if trial.weights_artifact)
    trained, _ = restore(open_storage().kept_file(trial.weights_artifact), load_study("own")[0].build)
    assert float(trained.tensors()["0.weight"].norm()) == pytest.approx((4 * V) ** 0.5, rel=0.4)  # N(0, 1), not decayed


def test_its_settings_are_shown_as_parameters(found: Any):
    frame = leaderboard_frame(found)
    assert set(frame["model.extra.version"].dropna()) == {"2"}
    assert set(frame["model.extra.layers"].dropna()) <= {1, 2}
    assert "| dropout | activation | layers | version |\n" in leaderboard(found, "md")
    assert found.study.constants["model.extra.version"] == "2"
    rows = dict(config_rows(found))
    assert rows["model.extra.version"] == '"2"'  # without quotes it would be read as a number
    assert rows["model.extra.activation"] in ("relu", "tanh")
    trial = found.trials[0]
    layers = trial.config.model.extra["layers"]
    assert f"layers {layers}, version 2" in trial_note(trial, found.study, None)


@pytest.mark.slow
def test_commands_about_it_run(found: Any, capfd: pytest.CaptureFixture[str]):
    with no_plots():
        assert run(["report", "own"]) == 0
    assert "model.extra.layers" in (paths.results_folder() / found.study.key / "report.html").read_text(
        encoding="utf-8"
    )
    assert run(["rerun", "own", "0"]) == 0
    assert "identical to the last bit" in capfd.readouterr().out
    assert run(["show", "own", "0"]) == 0
    assert "model.extra.layers" in capfd.readouterr().out
    assert results("own").model().sample(3) == results("own").samples(3)
    folder = paths.results_folder() / found.study.key / "best"
    assert run(["sample", str(folder)]) == 2
    assert "the built-in model has no setting 'activation', 'layers', 'version'" in capfd.readouterr().err


def test_its_test_split_is_scored(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = shutil.copytree(project, tmp_path / "copy")
    monkeypatch.setenv("HARNESS_HOME", str(home))
    storage = open_storage()
    opening, now = open_holdout(storage, find_study(storage, "own"))
    assert now
    assert opening.scores.scores[0].what.startswith("winner")


@pytest.mark.usefixtures("found")
def test_another_fixed_setting_is_another_search(project: Path):
    write_own(FILE.replace('"version": "2"', '"version": "3"'))
    with pytest.raises(StudyError, match=r"fixes; .* model\.extra\.version=2 \(now 3\)"):
        search(project / "items.txt", "own", trials=4)
    write_own()


def test_the_built_in_model_refuses_settings_it_does_not_have_before_any_trial(small_corpus: Corpus, tmp_path: Path):
    write_own(FILE.replace("build=build, ", ""))
    study, _ = load_study("own")
    with pytest.raises(ConfigError, match=r"no setting 'activation', 'layers', 'version'; .* Pass build=…"):
        space_of(study)
    with pytest.raises(ConfigError, match="Pass build=…"):
        search(write_items(tmp_path / "items.txt"), "own")
    assert not (paths.results_folder() / "studies.db").exists()
    config = TrainConfig(model=ModelConfig(extra={"layers": 2}))
    with pytest.raises(ConfigError, match="the built-in model has no setting 'layers'"):
        train(config, small_corpus)


def test_weight_decay_shrinks_trained_weights_and_leaves_frozen_ones(small_corpus: Corpus):
    write_own()
    build = load_study("own")[0].build
    config = TrainConfig(
        model=ModelConfig(
            embedding_size=4, hidden_width=16, context_length=2, extra={"layers": 1, "activation": "tanh"}
        ),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=10.0),
        budget={"steps": 40},
    )
    made: list[torch.Tensor] = []

    def watched(*given: Any) -> Any:
        model = build(*given)
        made.append(model.tensors()["0.weight"].clone())
        return model

    result = train(config, small_corpus, build=watched)
    assert torch.equal(result.model.tensors()["0.weight"], made[0])
