"""A saved model in Python: its facts, its probabilities, its samples, and a loss equal to the stored one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import Autograd, Corpus, SavedModel, TrainConfig, load, load_model, results, split_nats, train
from harness.cli.app import run
from harness.errors import ConfigError, ModelChanged, StorageError, StudyError
from harness.report.write import write_report
from harness.store.storage import open_storage
from harness.store.weights import facts_of, load_folder, pack, restore, save_folder
from harness.train import counted_model
from tests.tiny_study import home_at, no_plots, search, write_items, write_study

SMALL = ["model.hidden_width=16", "model.context_length=3", "batch_size=32", "budget.steps=60", "evaluations=2"]


def build_linear(config: TrainConfig, vocabulary_size: int, _generator: torch.Generator) -> Autograd:
    """A user's own model: no hidden layer."""
    size, length = config.model.embedding_size, config.model.context_length
    embedding, output = nn.Embedding(vocabulary_size, size), nn.Linear(size * length, vocabulary_size)
    return Autograd(nn.Sequential(embedding, nn.Flatten(), output))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model saved by `harness train --out`, and a study with a winner."""
    folder = tmp_path_factory.mktemp("saved")
    with home_at(folder):
        items = write_items(folder / "items.txt")
        assert run(["train", *SMALL, "--corpus", str(items), "--out", str(folder / "saved")]) == 0
        write_study("tiny", trials=2, finalists=1)
        search(items)
    return folder


@pytest.fixture
def corpus(project: Path) -> Corpus:
    return load(str(project / "items.txt"))


@pytest.fixture
def saved(project: Path) -> SavedModel:
    return load_model(project / "saved")


@pytest.fixture
def winner(project: Path, monkeypatch: pytest.MonkeyPatch) -> SavedModel:
    monkeypatch.setenv("HARNESS_HOME", str(project))
    return results("tiny").model()


@pytest.mark.parametrize("source", ["saved", "winner"])
def test_the_losses_of_a_saved_model_are_the_stored_ones(source: str, corpus: Corpus, request: pytest.FixtureRequest):
    model: SavedModel = request.getfixturevalue(source)
    assert model.nats(corpus) == pytest.approx(model.dev_nats, abs=1e-6)
    assert model.nats(corpus, "train") == pytest.approx(model.train_nats, abs=1e-6)
    assert model.vocabulary == corpus.vocabulary
    assert model.fingerprint == corpus.fingerprint


@pytest.mark.parametrize("source", ["saved", "winner"])
def test_the_mixture_of_a_saved_model_has_the_stored_loss(source: str, corpus: Corpus, request: pytest.FixtureRequest):
    model: SavedModel = request.getfixturevalue(source)
    assert model.nats(corpus, mixed=True) == pytest.approx(model.mixed.dev_nats, abs=1e-6)
    assert model.mixed.dev_nats < model.dev_nats
    contexts = corpus.counts("dev", model.config.model.context_length).contexts
    parts = (model.log_probabilities(contexts), counted_model(corpus, model.mixed.order).log_probabilities(contexts))
    own, counted = (part.double().exp() for part in parts)
    expected = model.mixed.weight * own + (1 - model.mixed.weight) * counted
    assert torch.allclose(model.mixture.log_probabilities(contexts).exp(), expected, atol=1e-9)


def test_a_reports_best_model_is_mixed_without_the_corpus(project: Path, home: Path, corpus: Corpus):
    shutil.copytree(project, home, dirs_exist_ok=True)
    with no_plots():
        folder = write_report(open_storage(), open_storage().study("tiny-items")).folder
    (home / "items.txt").unlink()
    model = load_model(folder / "best")
    facts = json.loads((folder / "best" / "config.json").read_text(encoding="utf-8"))
    assert facts["mixed"] == dataclasses.asdict(model.mixed)
    assert split_nats(model.mixture, corpus.counts("dev", 2)) == pytest.approx(model.mixed.dev_nats, abs=1e-6)
    written = (folder / "samples_mixed.txt").read_text(encoding="utf-8").splitlines()
    assert f"mixed with the counted {model.mixed.order}-gram" in written[0]
    assert model.sample(mixed=True) == written[1:] != model.sample()


def test_the_command_draws_from_the_mixture_if_asked(
    project: Path, saved: SavedModel, capfd: pytest.CaptureFixture[str]
):
    assert run(["sample", str(project / "saved"), "--mixed", "--count", "5", "--seed", "3"]) == 0
    assert capfd.readouterr().out.splitlines() == saved.sample(5, 3, mixed=True)


def test_a_saved_model_without_its_n_gram_has_no_mixture(tmp_path: Path, project: Path):
    folder = shutil.copytree(project / "saved", tmp_path / "alone")
    (folder / "counted.safetensors").unlink()
    model = load_model(folder)
    assert model.sample(2)
    with pytest.raises(ConfigError, match=r"needs the counted n-gram that is saved beside the weights"):
        _ = model.mixture
    (folder / "counted.safetensors").write_bytes(b"half a file")
    with pytest.raises(StorageError, match="a saved n-gram must be a complete safetensors file"):
        load_model(folder)


def test_a_model_that_an_earlier_version_saved_has_no_mixture(tmp_path: Path, project: Path):
    folder = shutil.copytree(project / "saved", tmp_path / "old")
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del facts["mixed"]
    (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    assert load_model(folder).mixed is None


def test_a_studys_model_is_the_winners_of_its_first_fresh_seed(winner: SavedModel):
    ranking = open_storage().study("tiny-items").ranking
    first = ranking.won.runs[0]
    assert (winner.config.seed, winner.dev_nats) == (first.seed, first.dev_nats)


def test_before_the_finalists_it_is_the_best_trials(tmp_path: Path):
    write_study("tiny", trials=2)
    search(write_items(tmp_path / "items.txt"))
    found = results("tiny")
    assert found.model().dev_nats == found.trials["dev_nats"].min()
    assert found.model().sample(5, seed=3) == found.samples(5, seed=3)


def test_log_probabilities_sum_to_one_for_any_integer_contexts(saved: SavedModel, corpus: Corpus):
    contexts = corpus.examples("dev", 3).contexts[:7]
    log_p = saved.log_probabilities(contexts)
    assert log_p.shape == (7, len(saved.vocabulary))
    assert log_p.exp().sum(1).tolist() == pytest.approx([1.0] * 7, abs=1e-5)
    assert torch.equal(saved.log_probabilities(contexts.int()), log_p)


@pytest.mark.parametrize(
    ("contexts", "reason"),
    [
        (torch.zeros(2, 4, dtype=torch.int64), r"integers of shape \(B, 3\); got \(2, 4\)"),
        (torch.zeros(3, dtype=torch.int64), r"got \(3,\)"),
        (torch.zeros(2, 3), "got .* torch.float32"),
        (torch.full((1, 3), 99), "got 99 to 99"),
    ],
)
def test_contexts_of_another_shape_or_vocabulary_are_refused(saved: SavedModel, contexts: torch.Tensor, reason: str):
    with pytest.raises(ConfigError, match=reason):
        saved.log_probabilities(contexts)


def test_samples_are_the_same_for_a_seed_and_those_of_the_command(
    project: Path, saved: SavedModel, capfd: pytest.CaptureFixture[str]
):
    assert saved.sample(5) == saved.sample(5) != saved.sample(5, seed=1)
    assert run(["sample", str(project / "saved"), "--count", "5"]) == 0
    assert capfd.readouterr().out.splitlines() == saved.sample(5)


def test_a_corpus_with_another_vocabulary_is_refused(saved: SavedModel, small_corpus: Corpus):
    with pytest.raises(ConfigError, match=r"own vocabulary, that of items \(\d+ symbols\); got small \(\d+ symbols\)"):
        saved.nats(small_corpus)


def test_a_users_own_model_is_loaded_with_its_build(tmp_path: Path, project: Path, corpus: Corpus):
    config = TrainConfig.parse(json.loads((project / "saved" / "config.json").read_text(encoding="utf-8"))["config"])
    trained = train(config, corpus, build=build_linear)
    facts = facts_of(config, corpus, trained.train_nats, trained.dev_nats)
    save_folder(tmp_path / "own", trained.model.tensors(), facts)
    assert load_model(tmp_path / "own", build=build_linear).nats(corpus) == pytest.approx(trained.dev_nats, abs=1e-6)
    with pytest.raises(ModelChanged, match="pass the build that made them"):
        load_model(tmp_path / "own")
    assert run(["sample", str(tmp_path / "own")]) == 2


def build_normalised(config: TrainConfig, vocabulary_size: int, _generator: torch.Generator) -> Autograd:
    size, length = config.model.embedding_size, config.model.context_length
    layers = nn.Embedding(vocabulary_size, size), nn.Flatten(), nn.BatchNorm1d(size * length)
    return Autograd(nn.Sequential(*layers, nn.Linear(size * length, vocabulary_size)))


class Masked(nn.Module):
    """Has persistent buffers that training does not change, two of which share memory."""

    def __init__(self, vocabulary_size: int, length: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Embedding(vocabulary_size, 4), nn.Flatten(), nn.Linear(4 * length, vocabulary_size)
        )
        every = torch.ones(vocabulary_size, dtype=torch.bool)
        self.register_buffer("mask", every)
        self.register_buffer("first", every[: vocabulary_size // 2])

    def forward(self, contexts: torch.Tensor) -> torch.Tensor:
        return self.body(contexts).masked_fill(~self.mask, -9.0)


def build_masked(config: TrainConfig, vocabulary_size: int, _generator: torch.Generator) -> Autograd:
    return Autograd(Masked(vocabulary_size, config.model.context_length))


def saved_by(folder: Path, build: Any, config: TrainConfig, corpus: Corpus) -> float:
    """Train, save into a folder; the dev loss."""
    trained = train(config, corpus, build=build)
    facts = facts_of(config, corpus, trained.train_nats, trained.dev_nats)
    save_folder(folder, trained.model.tensors(), facts)
    return trained.dev_nats


def as_an_earlier_version_wrote_it(folder: Path) -> None:
    """The same folder without buffers, and without a word about what it holds."""
    tensors, facts = load_folder(folder)
    named = {name: t for name, t in tensors.items() if "running" not in name and "num_" not in name}
    named = {name: t for name, t in named.items() if name not in ("mask", "first")}
    save_folder(folder, named, {name: fact for name, fact in facts.items() if name != "holds"})


@pytest.mark.parametrize("build", [build_normalised, build_masked])
def test_a_module_with_buffers_has_the_stored_loss(
    build: Any, tmp_path: Path, small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]
):
    dev_nats = saved_by(tmp_path, build, tiny_config(), small_corpus)
    model = load_model(tmp_path, build=build)
    assert model.nats(small_corpus) == pytest.approx(dev_nats, abs=1e-6)
    content = pack(model._model, model._facts)
    assert content == pack(restore(content, build)[0], model._facts)


def test_running_statistics_that_earlier_versions_did_not_store_are_named(
    tmp_path: Path, small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]
):
    saved_by(tmp_path, build_normalised, tiny_config(), small_corpus)
    as_an_earlier_version_wrote_it(tmp_path)
    with pytest.raises(ModelChanged, match=r"earlier version .* did not store 2\.running_mean, 2\.running_var") as lost:
        load_model(tmp_path, build=build_normalised)
    assert "build" not in str(lost.value)


def test_buffers_that_training_does_not_change_are_made_again_for_models_of_earlier_versions(
    tmp_path: Path, small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]
):
    dev_nats = saved_by(tmp_path, build_masked, tiny_config(), small_corpus)
    as_an_earlier_version_wrote_it(tmp_path)
    assert load_model(tmp_path, build=build_masked).nats(small_corpus) == pytest.approx(dev_nats, abs=1e-6)


def test_a_build_that_adds_statistics_now_is_another_model(
    tmp_path: Path, small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]
):
    saved_by(tmp_path, build_linear, tiny_config(), small_corpus)
    with pytest.raises(ModelChanged, match=r"other tensors now .*'2\.running_mean': \(12,\)"):
        load_model(tmp_path, build=build_normalised)


def test_a_study_whose_build_makes_another_model_now_says_so(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    with pytest.raises(ModelChanged, match="it makes other tensors now"):
        results("tiny").model(build=build_linear)


def test_without_stored_weights_there_is_no_model_yet(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    found = results("tiny")
    found._results = dataclasses.replace(found._results, weights=None)
    with pytest.raises(StudyError, match="tiny-items has none yet"):
        found.model()


@pytest.mark.parametrize("given", ["savde/", "svaed", "nowhere/x", "saved/model.safetensors", "results/tiny-items"])
def test_a_mistyped_folder_is_told_which_folders_hold_a_model(
    given: str, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    monkeypatch.chdir(project)
    best = save_best(project)
    line = rf"a folder with model\.safetensors and config\.json; .*There are: {best}, saved\."
    with pytest.raises(StorageError, match=line) as refused:
        load_model(given)
    assert ("Did you mean 'saved'?" in str(refused.value)) == (given in ("savde/", "svaed"))
    assert run(["sample", given]) == 2
    error = capfd.readouterr().err
    assert f"there are: {best}, saved." in error.replace("There", "there")
    assert len(error.splitlines()) == 1


def save_best(project: Path) -> str:
    folder = project / "results" / "tiny-items" / "best"
    if not folder.exists():
        shutil.copytree(project / "saved", folder)
    return str(folder.relative_to(project))


def test_a_folder_without_the_facts_of_a_model_is_refused(tmp_path: Path, saved: SavedModel):
    with pytest.raises(StorageError, match=r"must be a folder with model\.safetensors"):
        load_model(tmp_path)
    save_folder(tmp_path, saved._model.tensors(), {"config": {}})
    with pytest.raises(StorageError, match="lacks vocabulary, corpus"):
        load_model(tmp_path)
