"""Training: exact losses, pace and budgets, reproducible bits, probes, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness import (
    SGD,
    AdamW,
    Budget,
    CharMLP,
    Corpus,
    Cosine,
    Evaluation,
    ModelConfig,
    Step,
    TrainConfig,
    lr_range,
    overfit_one_batch,
    sample,
    split_nats,
    stream,
    train,
)
from harness.corpus import Examples
from harness.corpus.contexts import count_contexts
from harness.errors import ConfigError
from harness.train import derive, evaluate, trainer
from harness.train.optimizer import make_optimizer
from tests.strategies import ONE_OF_EACH, build_plain

MakeConfig = Callable[..., TrainConfig]


def losses(curve: tuple[Evaluation, ...]) -> list[tuple[float, float]]:
    return [(point.train_nats, point.dev_nats) for point in curve]


# Exact losses


def plain_mean(model: CharMLP, examples: Examples) -> float:
    log_p = model.log_probabilities(examples.contexts)
    return -float(log_p[torch.arange(len(examples)), examples.targets].double().mean())


@pytest.mark.parametrize("context_length", [1, 3, 8])
@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_is_scored_as_the_plain_mean_over_all_its_examples(
    small_corpus: Corpus, context_length: int, split: Any
):
    shape = ModelConfig(embedding_size=4, hidden_width=16, context_length=context_length, init="normal")
    model = CharMLP.build(TrainConfig(model=shape), small_corpus.vocabulary_size, stream(0, "init"))
    found = split_nats(model, small_corpus.counts(split, context_length))
    assert found == pytest.approx(plain_mean(model, small_corpus.examples(split, context_length)), abs=1e-6)


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 9))
def test_scoring_some_contexts_at_a_time_changes_nothing(seed: int, examples: int, rows_at_once: int):
    draw = torch.Generator().manual_seed(seed)
    contexts, targets = torch.randint(4, (examples, 2), generator=draw), torch.randint(4, (examples,), generator=draw)
    model = CharMLP.build(TrainConfig(model=ModelConfig(context_length=2)), 4, draw)
    batch = Examples(contexts, targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_ROWS_AT_ONCE", rows_at_once)
        assert split_nats(model, count_contexts(batch, 4)) == pytest.approx(plain_mean(model, batch), abs=1e-6)


def test_no_model_scores_below_the_floor_and_one_that_counts_reaches_it(small_corpus: Corpus):
    counts = small_corpus.counts("train", 2)

    class Counted:
        def log_probabilities(self, contexts: Tensor) -> Tensor:
            assert torch.equal(contexts, counts.contexts)
            table = torch.zeros(len(contexts), small_corpus.vocabulary_size, dtype=torch.float64)
            table[counts.rows, counts.targets] = counts.counts
            return torch.log(table / table.sum(1, keepdim=True))

        def tensors(self) -> dict[str, Tensor]:
            return {}

    assert split_nats(Counted(), counts) == pytest.approx(counts.conditional_entropy(), abs=1e-12)


# Pace, budgets, the clock


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [
        (40, 4, [10, 20, 30, 40]),
        (10, 4, [3, 5, 8, 10]),
        (7, 1, [7]),
        (3, 10, [1, 2, 3]),
        (30, 7, [5, 9, 13, 18, 22, 26, 30]),
    ],
)
def test_evaluations_are_evenly_spaced_and_the_last_one_falls_on_the_end(
    small_corpus: Corpus, tiny_config: MakeConfig, steps: int, evaluations: int, expected: list[int]
):
    result = train(tiny_config(budget=Budget(steps=steps), evaluations=evaluations), small_corpus)
    assert [point.step for point in result.curve] == expected
    assert result.status == "complete"


def test_a_budget_in_examples_ends_at_the_nearest_whole_step(small_corpus: Corpus, tiny_config: MakeConfig):
    result = train(tiny_config(budget=Budget(examples=1000), batch_size=32), small_corpus)
    assert result.steps == 31
    assert [point.examples for point in result.curve] == [8 * 32, 16 * 32, 24 * 32, 31 * 32]


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def slow(clock: Clock, seconds_per_step: float) -> Any:
    """`build` of a CharMLP each of whose steps takes this long on the clock."""

    class Slow(CharMLP):
        def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
            clock.now += seconds_per_step
            return super().loss_and_gradient(contexts, targets, generator=generator)

    return Slow.build


def test_a_budget_in_seconds_ends_with_the_step_that_reaches_it(
    small_corpus: Corpus, tiny_config: MakeConfig, clock: Clock
):
    config = tiny_config(budget=Budget(seconds=10), evaluations=5)
    result = train(config, small_corpus, build=slow(clock, 0.25))
    assert [(point.step, point.seconds) for point in result.curve] == [(8, 2), (16, 4), (24, 6), (32, 8), (40, 10)]
    assert (result.steps, result.seconds, result.status) == (40, 10, "complete")


def test_a_schedule_follows_the_clock_where_the_budget_is_in_seconds(
    small_corpus: Corpus, tiny_config: MakeConfig, clock: Clock
):
    config = tiny_config(budget=Budget(seconds=4), evaluations=4, schedule=Step(at=0.5, factor=0.1))
    result = train(config, small_corpus, build=slow(clock, 0.5))
    # an evaluation states the rate of the step before it, chosen by the time before that step
    assert [point.learning_rate for point in result.curve] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])


def test_a_single_step_longer_than_the_budget_is_still_evaluated(
    small_corpus: Corpus, tiny_config: MakeConfig, clock: Clock
):
    result = train(tiny_config(budget=Budget(seconds=1)), small_corpus, build=slow(clock, 5))
    assert [(point.step, point.seconds) for point in result.curve] == [(1, 5)]


def test_the_clock_stands_still_during_evaluation(
    small_corpus: Corpus, tiny_config: MakeConfig, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    def slow_split_nats(*arguments: Any) -> float:
        clock.now += 100
        return split_nats(*arguments)

    def sleep(_: Evaluation) -> None:
        clock.now += 1000

    monkeypatch.setattr(trainer, "split_nats", slow_split_nats)
    result = train(tiny_config(), small_corpus, build=slow(clock, 0.5), on_evaluation=sleep)
    assert [point.seconds for point in result.curve] == [5, 10, 15, 20]
    assert clock.now == 20 + 4 * 200 + 4 * 1000


def test_a_callback_that_returns_false_stops_the_run(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Evaluation] = []

    def stop_at_second(point: Evaluation) -> bool:
        seen.append(point)
        return len(seen) < 2

    result = train(tiny_config(), small_corpus, on_evaluation=stop_at_second)
    assert (result.status, result.steps) == ("stopped", 20)
    assert result.curve == tuple(seen)
    assert result.dev_nats == seen[-1].dev_nats


def test_a_callback_that_returns_none_lets_the_run_finish(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Evaluation] = []
    result = train(tiny_config(), small_corpus, on_evaluation=seen.append)
    assert (result.status, len(seen)) == ("complete", 4)


# The same bits again


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_config_gives_the_same_bits(small_corpus: Corpus, tiny_config: MakeConfig, dropout: float):
    first, again = (train(tiny_config(dropout=dropout), small_corpus) for _ in range(2))
    assert torch.equal(first.model.parameters, again.model.parameters)
    assert losses(first.curve) == losses(again.curve)


def test_another_seed_gives_another_run(small_corpus: Corpus, tiny_config: MakeConfig):
    first, other = (train(tiny_config(seed=seed), small_corpus) for seed in (0, 1))
    assert losses(first.curve) != losses(other.curve)


@pytest.mark.parametrize("use", ["init", "batches", "dropout"])
def test_each_use_of_randomness_depends_on_the_seed(
    small_corpus: Corpus, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, use: str
):
    monkeypatch.setattr(trainer, "stream", lambda seed, name: stream(seed if name == use else 0, name))
    first, other = (train(tiny_config(seed=seed, dropout=0.2), small_corpus) for seed in (0, 1))
    assert losses(first.curve) != losses(other.curve)


def test_the_callback_and_the_number_of_evaluations_do_not_change_the_weights(
    small_corpus: Corpus, tiny_config: MakeConfig
):
    plain = train(tiny_config(evaluations=1), small_corpus)
    watched = train(tiny_config(evaluations=20), small_corpus, on_evaluation=lambda _: True)
    assert torch.equal(plain.model.parameters, watched.model.parameters)


def test_a_tiny_fixed_run_has_these_losses(small_corpus: Corpus, tiny_config: MakeConfig):
    result = train(tiny_config(schedule=Cosine(), dropout=0.1), small_corpus)
    golden = [(2.137866, 2.159224), (1.991742, 2.031174), (1.909959, 1.957596), (1.895362, 1.944128)]
    assert losses(result.curve) == [pytest.approx(point, abs=1e-5) for point in golden]
    assert result.parameters == 4 * 10 + 3 * 4 * 16 + 16 + 16 * 10 + 10


def test_seeds_of_named_uses_differ_and_are_the_same_on_every_machine():
    assert [derive(0, name) for name in ("init", "batches", "dropout")] == [353686001, 538317654, 1848325893]
    assert derive(0, "trial", 3) == derive(0, "trial/3") != derive(1, "trial", 3)


# Learning


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (SGD(), {}),
        (SGD(momentum=0.8), {"momentum": 0.8}),
        (SGD(momentum=0.9, weight_decay=0.02), {"momentum": 0.9, "weight_decay": 0.02}),
        (AdamW(), {"betas": (0.9, 0.99), "weight_decay": 0.0}),
        (AdamW(beta1=0.8, beta2=0.7, weight_decay=0.2), {"betas": (0.8, 0.7), "weight_decay": 0.2}),
    ],
    ids=["sgd", "momentum", "momentum with decay", "adamw", "adamw with decay"],
)
def test_an_optimiser_steps_as_torchs_own_to_the_last_bit(
    tiny_config: MakeConfig, settings: SGD | AdamW, theirs: dict[str, Any]
):
    model = CharMLP.build(tiny_config(), 27, stream(0, "init"))
    ours, weights = make_optimizer(model, settings), model.parameters.clone().requires_grad_()
    kind = torch.optim.SGD if isinstance(settings, SGD) else torch.optim.AdamW
    reference = kind([weights], lr=settings.learning_rate, fused=True, **theirs)
    draw = torch.Generator().manual_seed(0)
    for rate in (0.1, 0.1, 0.05, 0.3):
        model.gradient.copy_(torch.randn(model.gradient.shape, generator=draw))
        ours.step(rate)
        weights.grad = model.gradient.clone()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        assert torch.equal(model.parameters, weights)


def test_a_step_of_plain_sgd_moves_the_weights_by_rate_times_gradient(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config(optimizer=SGD(learning_rate=0.5), budget=Budget(steps=1), evaluations=1)
    model = train(config, small_corpus).model
    before = CharMLP.build(config, small_corpus.vocabulary_size, stream(config.seed, "init")).parameters
    assert torch.allclose(model.parameters, before - 0.5 * model.gradient, rtol=0, atol=1e-7)
    assert not torch.equal(model.parameters, before)


@pytest.mark.parametrize("schedule", ONE_OF_EACH)
@pytest.mark.parametrize(
    "optimizer", [SGD(learning_rate=0.3, momentum=0.9), AdamW(learning_rate=1e-2)], ids=["sgd", "adamw"]
)
def test_each_optimiser_learns_under_each_schedule(
    small_corpus: Corpus, tiny_config: MakeConfig, schedule: str, optimizer: Any
):
    config = tiny_config(optimizer=optimizer, schedule=ONE_OF_EACH[schedule], budget=Budget(steps=150))
    result = train(config, small_corpus)
    assert result.status == "complete"
    assert result.dev_nats < 0.75 * math.log(small_corpus.vocabulary_size)


@pytest.mark.parametrize("schedule", ONE_OF_EACH)
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(learning_rate=0.1),
        SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-3),
        AdamW(learning_rate=3e-3, weight_decay=0.1),
    ],
    ids=["sgd", "momentum", "adamw"],
)
@pytest.mark.parametrize("shape", [(1, 3, 1), (10, 20, 3), (5, 40, 8)], ids=str)
def test_fifty_steps_in_closed_form_agree_with_autograd(
    small_corpus: Corpus, tiny_config: MakeConfig, schedule: str, optimizer: Any, shape: tuple[int, int, int]
):
    embedding_size, hidden_width, context_length = shape
    config = tiny_config(
        model=ModelConfig(embedding_size=embedding_size, hidden_width=hidden_width, context_length=context_length),
        optimizer=optimizer,
        schedule=ONE_OF_EACH[schedule],
        budget=Budget(steps=50),
        evaluations=5,
    )
    ours, plain = (train(config, small_corpus, build=build) for build in (CharMLP.build, build_plain))
    assert losses(plain.curve) == [pytest.approx(point, abs=1e-4) for point in losses(ours.curve)]
    assert plain.dev_nats < math.log(small_corpus.vocabulary_size) + 0.05


def test_a_run_that_blows_up_ends_as_diverged_and_keeps_its_curve(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Evaluation] = []
    config = tiny_config(optimizer=SGD(learning_rate=1e6, weight_decay=1), budget=Budget(steps=1000), evaluations=1000)
    result = train(config, small_corpus, on_evaluation=seen.append)
    assert result.status == "diverged"
    assert not math.isfinite(result.train_nats)
    assert 1 < len(result.curve) == result.steps < 30
    assert all(math.isfinite(point.dev_nats) for point in result.curve[:-1])
    assert result.curve[:-1] == tuple(seen)  # the callback never sees numbers that are not finite


# Probes


def test_a_sound_config_can_memorise_one_batch(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config(model=ModelConfig(embedding_size=8, hidden_width=64, context_length=3), dropout=0.5)
    probe = overfit_one_batch(config, small_corpus)
    assert probe.passed
    assert 0 <= probe.reached - probe.floor <= 0.01
    assert probe.examples == 32
    assert probe.steps < 500


def test_a_model_of_one_unit_cannot_memorise_one_batch(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config(model=ModelConfig(embedding_size=1, hidden_width=1, context_length=3))
    probe = overfit_one_batch(config, small_corpus, steps=300)
    assert not probe.passed
    assert (probe.steps, probe.reached > probe.floor + 0.1) == (300, True)


def test_a_model_with_a_wrong_gradient_does_not_pass(small_corpus: Corpus, tiny_config: MakeConfig):
    class Broken(CharMLP):
        def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
            loss = super().loss_and_gradient(contexts, targets, generator=generator)
            self.gradient.neg_()
            return loss

    config = tiny_config(model=ModelConfig(embedding_size=8, hidden_width=64, context_length=3))
    assert not overfit_one_batch(config, small_corpus, build=Broken.build, steps=50).passed


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()], ids=["sgd", "adamw"])
def test_a_range_test_finds_rates_between_its_limits(small_corpus: Corpus, tiny_config: MakeConfig, optimizer: Any):
    found = lr_range(tiny_config(optimizer=optimizer), small_corpus)
    assert 1e-5 < found.low < found.high < 10
    assert found.high == found.rates[found.smoothed.index(min(found.smoothed))]
    assert len(found.rates) == len(found.nats) == len(found.smoothed)
    assert found.rates[0] == 1e-5
    assert found.rates[1] / found.rates[0] == pytest.approx(1e6 ** (1 / 599))


def test_a_range_test_ends_early_once_the_loss_has_blown_up(small_corpus: Corpus, tiny_config: MakeConfig):
    found = lr_range(tiny_config(optimizer=AdamW()), small_corpus)
    assert 50 < len(found.rates) < 600
    assert max(found.smoothed) <= 4 * min(found.smoothed)
    assert all(math.isfinite(value) for value in found.nats)


def test_dropout_plays_no_part_in_a_range_test(small_corpus: Corpus, tiny_config: MakeConfig):
    with_dropout, without = (tiny_config(dropout=dropout) for dropout in (0.5, 0.0))
    assert lr_range(with_dropout, small_corpus) == lr_range(without, small_corpus)


def test_a_range_test_repeats_exactly(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config()
    assert lr_range(config, small_corpus) == lr_range(config, small_corpus)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"steps": 1}, "must have at least 2 steps; got 1. Set steps to 2 or more."),
        ({"steps": 0}, "must have at least 2 steps; got 0. Set steps to 2 or more."),
        ({"lowest": 0.1, "highest": 0.1}, "0 < lowest < highest; got lowest 0.1, highest 0.1."),
        ({"lowest": 1.0, "highest": 0.1}, "0 < lowest < highest; got lowest 1.0, highest 0.1."),
        ({"lowest": 0.0}, "0 < lowest < highest; got lowest 0.0, highest 10.0."),
        ({"lowest": -1e-3}, "0 < lowest < highest; got lowest -0.001, highest 10.0."),
        ({"highest": math.inf}, "must have finite rates with 0 < lowest < highest; got lowest 1e-05, highest inf."),
        ({"lowest": math.nan}, "must have finite rates with 0 < lowest < highest; got lowest nan, highest 10.0."),
    ],
    ids=str,
)
def test_a_range_test_refuses_a_range_without_two_rising_rates(
    small_corpus: Corpus, tiny_config: MakeConfig, limits: dict[str, Any], expected: str
):
    with pytest.raises(ConfigError) as refusal:
        lr_range(tiny_config(), small_corpus, **limits)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_range_test_of_two_steps_tries_its_first_and_last_rate(small_corpus: Corpus, tiny_config: MakeConfig):
    found = lr_range(tiny_config(), small_corpus, lowest=1e-4, highest=1e-2, steps=2)
    assert found.rates == pytest.approx((1e-4, 1e-2))


# Samples


@pytest.fixture(scope="module")
def trained(small_corpus: Corpus, tiny_config: MakeConfig) -> CharMLP:
    result = train(tiny_config(budget=Budget(steps=300)), small_corpus)
    assert isinstance(result.model, CharMLP)
    return result.model


def draw(model: CharMLP, corpus: Corpus, seed: int, **limits: Any) -> list[str]:
    return sample(model, corpus.vocabulary, 3, count=50, generator=stream(seed, "sample"), **limits)


def test_samples_are_the_same_for_a_seed_and_others_for_another(trained: CharMLP, small_corpus: Corpus):
    assert draw(trained, small_corpus, 1) == draw(trained, small_corpus, 1)
    assert draw(trained, small_corpus, 1) != draw(trained, small_corpus, 2)


def test_samples_hold_symbols_of_the_vocabulary_and_never_the_boundary(trained: CharMLP, small_corpus: Corpus):
    items = draw(trained, small_corpus, 0)
    assert len(items) == 50
    assert set("".join(items)) <= set(small_corpus.vocabulary[1:])
    assert 3 < sum(map(len, items)) / len(items) < 9  # those of the corpus have 5.1 letters in the mean


def test_samples_are_truncated_at_the_longest_allowed(trained: CharMLP, small_corpus: Corpus):
    items = draw(trained, small_corpus, 0, longest=2)
    assert {len(item) for item in items} <= {0, 1, 2}
    assert items == [item[:2] for item in draw(trained, small_corpus, 0)]


def test_symbols_are_drawn_as_often_as_the_model_says():
    class Fixed:
        def log_probabilities(self, contexts: Tensor) -> Tensor:
            return torch.tensor([0.5, 0.2, 0.3]).log().expand(len(contexts), 3)

        def tensors(self) -> dict[str, Tensor]:
            return {}

    items = sample(Fixed(), (".", "a", "b"), 1, count=20_000, generator=stream(0, "sample"))
    text = "".join(items)
    assert items.count("") / 20_000 == pytest.approx(0.5, abs=0.02)
    assert text.count("a") / len(text) == pytest.approx(0.4, abs=0.02)
