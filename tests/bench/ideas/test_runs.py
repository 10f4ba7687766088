"""The runs of the ideas: one row each, resumed after any stop, shared by processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Budget, Corpus, ModelConfig, TrainConfig, load, train
from harness.bench.ideas import catalogue, cost, runs
from harness.bench.ideas.catalogue import BUILDS, IDEAS, REFERENCE, Idea
from harness.bench.ideas.cost import Cost, measure_costs
from harness.bench.ideas.runs import SEEDS, Run, measure, missing, run_of
from harness.bench.ideas.table import add_row, folder, read_rows
from harness.cli import overrides
from harness.model import CharMLP, Ensemble
from harness.train import split_nats, stream
from harness.train.mixing import mix

TINY = [REFERENCE, Idea("wide", "size", {"model.hidden_width": 12})]


@pytest.fixture
def tiny_base(monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A base that trains in some milliseconds, with two seeds."""
    config = TrainConfig(
        model=ModelConfig(embedding_size=3, hidden_width=8, context_length=3),
        batch_size=64,
        budget=Budget(steps=4),
        evaluations=1,
    )
    monkeypatch.setattr(catalogue, "BASE", config)
    monkeypatch.setattr(runs, "SEEDS", (3, 5))
    return config


def rows(corpus: Corpus) -> list[Run]:
    return read_rows(folder() / f"{corpus.label}.csv", Run)


@pytest.mark.usefixtures("tiny_base")
def test_every_idea_is_trained_from_every_seed_once(small_corpus: Corpus):
    found = list(measure([small_corpus], TINY))
    assert [(run.idea, run.seed) for run in found] == [("base", 3), ("wide", 3), ("base", 5), ("wide", 5)]
    assert rows(small_corpus) == found
    assert list(measure([small_corpus], TINY)) == []


@pytest.mark.usefixtures("tiny_base")
def test_a_run_that_was_killed_is_the_only_one_trained_again(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    calls = 0

    def killed_in_the_third(idea: Idea, corpus: Corpus, seed: int) -> Run:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return run_of(idea, corpus, seed)

    monkeypatch.setattr(runs, "run_of", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        list(measure([small_corpus], TINY))
    assert len(rows(small_corpus)) == 2
    assert [(run.idea, run.seed) for run in measure([small_corpus], TINY)] == [("base", 5), ("wide", 5)]
    assert len({(run.key, run.seed) for run in rows(small_corpus)}) == len(rows(small_corpus)) == 4


@pytest.mark.usefixtures("tiny_base")
def test_two_processes_share_the_work(small_corpus: Corpus):
    first, second = (measure([small_corpus], TINY) for _ in range(2))
    one = next(first)  # holds the claim of its run until it is asked for the next
    others = [(run.idea, run.seed) for run in second]
    assert (one.idea, one.seed) not in others
    assert len(others) == 3
    assert list(first) == []
    assert len(rows(small_corpus)) == 4


@pytest.mark.usefixtures("tiny_base")
def test_a_run_that_another_process_trains_is_left_to_it(small_corpus: Corpus):
    corpus, idea, seed, _ = next(missing([small_corpus], TINY))
    with runs.claimed(corpus, idea, seed) as is_ours:
        assert is_ours
        assert len(list(measure([small_corpus], TINY))) == 3
    assert len(list(measure([small_corpus], TINY))) == 1


@pytest.mark.usefixtures("tiny_base")
def test_an_idea_whose_name_changes_is_not_trained_again_but_one_whose_config_changes_is(small_corpus: Corpus):
    list(measure([small_corpus], TINY))
    renamed, changed = (
        Idea("broad", "size", {"model.hidden_width": 12}),
        Idea("wide", "size", {"model.hidden_width": 16}),
    )
    assert [item[1:3] for item in missing([small_corpus], [REFERENCE, renamed])] == []
    assert [item[1:3] for item in missing([small_corpus], [REFERENCE, changed])] == [(changed, 3), (changed, 5)]


def test_a_row_holds_the_exact_losses_alone_and_mixed(small_corpus: Corpus, tiny_base: TrainConfig):
    run = run_of(TINY[1], small_corpus, 7)
    config = TINY[1].config.model_copy(update={"seed": 7})
    assert config.model.hidden_width == 12
    assert config.batch_size == tiny_base.batch_size
    result = train(config, small_corpus)
    mixed = mix(result.model, small_corpus, 3)
    assert (run.train_nats, run.dev_nats) == pytest.approx((result.train_nats, result.dev_nats), abs=1e-6)
    assert (run.mixed_nats, run.even_nats) == pytest.approx((mixed.dev_nats, mixed.even_nats), abs=1e-6)
    assert (run.order, run.parameters, run.steps, run.status) == (mixed.order, result.parameters, 4, "complete")


def test_the_first_member_of_an_ensemble_is_the_base_with_the_same_seed(small_corpus: Corpus, tiny_base: TrainConfig):
    seen: list[int] = []

    def noting(config: TrainConfig, *given: object) -> object:
        seen.append(config.seed)
        return CharMLP.build(config, *given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(BUILDS, "CharMLP", noting)
        run = run_of(Idea("three", "ensemble", members=3), small_corpus, 7)
    assert seen[0] == 7
    assert len(set(seen)) == 3
    models = [train(tiny_base.model_copy(update={"seed": seed}), small_corpus).model for seed in seen]
    assert run.dev_nats == pytest.approx(split_nats(Ensemble(models), small_corpus.counts("dev", 3)), abs=1e-6)
    assert run.parameters == 3 * models[0].parameters.numel()


@pytest.mark.usefixtures("tiny_base")
def test_a_run_that_diverges_is_a_row_without_losses(small_corpus: Corpus, tmp_path: Path):
    wild = Idea("wild", "optimiser", {"optimizer": {"kind": "sgd", "learning_rate": 1e30}})
    run = run_of(wild, small_corpus, 7)
    assert run.status == "diverged"
    add_row(tmp_path / "rows.csv", run)
    (found,) = read_rows(tmp_path / "rows.csv", Run)
    assert str(found) == str(run)
    assert "dev_nats=nan" in str(found)


@pytest.mark.usefixtures("tiny_base")
def test_costs_are_ratios_of_whole_runs_and_are_measured_once(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    taken = {"base": [2.0, 1.0, 4.0], "idea": [4.0, 3.0, 4.0]}
    monkeypatch.setattr(cost, "interleave", lambda *_: taken)
    path, half = folder() / "cost.csv", Idea("half", "budget", {"budget.steps": 2}, members=3)
    (found,) = measure_costs(path, small_corpus, [half])
    assert (found.times_base, found.low, found.high) == (3.0, 1.5, 4.5)
    assert found.ms_per_step == 4000
    assert read_rows(path, Cost) == [found]
    assert list(measure_costs(path, small_corpus, [half])) == []


@pytest.mark.usefixtures("tiny_base")
def test_a_cost_is_measured_in_turns(small_corpus: Corpus):
    found = cost.cost_of(TINY[1], small_corpus, repeats=3, steps=2)
    assert 0 < found.low <= found.times_base <= found.high
    assert (found.repeats, found.key) == (3, TINY[1].key)


# The catalogue


def test_ideas_have_names_and_configs_of_their_own():
    everything = [REFERENCE, *IDEAS]
    assert len({idea.name for idea in everything}) == len({idea.key for idea in everything}) == len(everything)


@pytest.mark.parametrize("idea", [REFERENCE, *IDEAS], ids=lambda idea: idea.name)
def test_the_settings_shown_make_the_config(idea: Idea):
    shown = f"{catalogue.settings_of(catalogue.BASE)} {idea.settings}".split()
    assert overrides.apply(TrainConfig(), shown) == idea.config


@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_every_idea_builds_a_model(idea: Idea):
    model = BUILDS[idea.build](idea.config, 27, stream(0, "init"))
    assert model.parameters.numel() > 5_000


def test_the_seeds_are_five_and_used_for_nothing_else():
    assert len(set(SEEDS)) == 5
    assert not set(SEEDS) & set(range(1000))


def test_the_corpora_are_known():
    assert load("ssa-2017").label == runs.CORPORA[1]
