"""Several seeds of one run: their batches, and that each gets the same results side by side as alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import (
    SGD,
    AdamW,
    Budget,
    CharMLP,
    Corpus,
    Evaluation,
    TrainConfig,
    TrainResult,
    split_nats,
    stream,
    train,
    train_seeds,
)
from harness.corpus import ContextCounts
from harness.train import trainer
from harness.train.batches import draw_batches
from tests.strategies import build_plain

MakeConfig = Callable[..., TrainConfig]
SEEDS = (3, 0, 7)
SIDE_BY_SIDE, IN_TURN = 16, 300
"""Batch sizes at which seeds go so with the small corpus's 10 symbols."""


@pytest.fixture(scope="module")
def tiny_config(tiny_config: MakeConfig) -> MakeConfig:
    return lambda **changes: tiny_config(**({"batch_size": SIDE_BY_SIDE} | changes))


def losses(result: TrainResult) -> list[tuple[float, float]]:
    return [(point.train_nats, point.dev_nats) for point in result.curve]


def alone(config: TrainConfig, corpus: Corpus, seed: int, **options: Any) -> TrainResult:
    return train(config.model_copy(update={"seed": seed}), corpus, **options)


# Batches


@pytest.fixture(scope="module")
def counts(small_corpus: Corpus) -> ContextCounts:
    return small_corpus.counts("train", 3)


def drawn(counts: ContextCounts, batch_size: int, seeds: Sequence[int], steps: int) -> Tensor:
    """(steps, R, B, 2) rows and targets of the first batches of these streams."""
    chunks = draw_batches(counts, batch_size, [stream(seed, "batches") for seed in seeds])
    each = (step for rows, targets in chunks for step in torch.stack([rows, targets], 3))
    return torch.stack(list(islice(each, steps)))


@pytest.mark.parametrize(
    ("batch_size", "seeds", "steps"), [(32, [0], 2048), (32, [0, 1, 2], 682), (300, [0], 218), (65_536, [0, 1], 1)]
)
def test_a_chunk_holds_as_many_steps_as_fit_with_a_batch_for_each_stream(
    counts: ContextCounts, batch_size: int, seeds: list[int], steps: int
):
    rows, targets = next(draw_batches(counts, batch_size, [stream(seed, "batches") for seed in seeds]))
    assert rows.shape == targets.shape == (steps, len(seeds), batch_size)
    assert rows.dtype == targets.dtype == torch.int32


def test_the_contexts_of_a_batch_are_in_ascending_order(counts: ContextCounts):
    rows = drawn(counts, 32, [0, 1], 100)[..., 0]
    assert bool((rows.diff(dim=2) >= 0).all())
    assert bool((rows.diff(dim=2) > 0).any(2).all())


def test_only_pairs_that_occur_in_the_split_are_drawn(counts: ContextCounts):
    pairs = {tuple(pair) for pair in drawn(counts, 32, [0, 1], 100).view(-1, 2).tolist()}
    assert len(pairs) > 50
    assert pairs <= set(zip(counts.rows.tolist(), counts.targets.tolist(), strict=True))


def test_a_streams_batches_do_not_depend_on_the_other_streams(counts: ContextCounts):
    together = drawn(counts, 300, [5, 6, 7], 500)
    assert len(together) == 500  # of chunks of 72 steps, and of 218 where a stream is alone
    for replica, seed in enumerate([5, 6, 7]):
        assert torch.equal(together[:, replica], drawn(counts, 300, [seed], 500)[:, 0])


def test_a_streams_batches_repeat_with_its_seed_and_differ_from_anothers(counts: ContextCounts):
    assert torch.equal(drawn(counts, 32, [4], 50), drawn(counts, 32, [4], 50))
    assert not torch.equal(drawn(counts, 32, [4], 50), drawn(counts, 32, [5], 50))


def test_pairs_are_drawn_as_often_as_they_occur(counts: ContextCounts, small_corpus: Corpus):
    rows, targets = drawn(counts, 32, [0], 6000).view(-1, 2).long().unbind(1)
    V = small_corpus.vocabulary_size
    found = torch.bincount(rows * V + targets, minlength=len(counts.contexts) * V)[counts.rows * V + counts.targets]
    expected = counts.counts * (len(rows) / counts.total)
    assert expected.min() > 50
    freedom = len(expected) - 1
    chi_square = float(((found - expected) ** 2 / expected).sum())
    assert abs(chi_square - freedom) < 3 * math.sqrt(2 * freedom)


# Side by side


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": SGD(learning_rate=0.3)},
        {"optimizer": SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-3)},
        {"optimizer": AdamW(learning_rate=1e-2, weight_decay=0.1)},
        {"dropout": 0.2},
    ],
    ids=["sgd", "momentum", "adamw", "dropout"],
)
def test_side_by_side_every_seed_has_the_curve_it_has_alone(
    small_corpus: Corpus, tiny_config: MakeConfig, changes: dict[str, Any]
):
    config = tiny_config(budget=Budget(steps=50), evaluations=5, **changes)
    for seed, result in zip(SEEDS, train_seeds(config, small_corpus, SEEDS), strict=True):
        expected = alone(config, small_corpus, seed)
        assert losses(result) == [pytest.approx(point, abs=1e-4) for point in losses(expected)]
        assert [point.step for point in result.curve] == [10, 20, 30, 40, 50]
        assert (result.steps, result.parameters, result.status) == (50, expected.parameters, "complete")


def test_side_by_side_every_seed_starts_with_the_weights_it_has_alone(
    small_corpus: Corpus, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trainer, "make_optimizer", lambda *_: SimpleNamespace(step=lambda _rate: None))
    config = tiny_config()
    for seed, result in zip(SEEDS, train_seeds(config, small_corpus, SEEDS), strict=True):
        fresh = CharMLP.build(config, small_corpus.vocabulary_size, stream(seed, "init"))
        assert torch.equal(result.model.parameters, fresh.parameters)


def test_results_come_in_the_order_of_the_seeds(small_corpus: Corpus, tiny_config: MakeConfig):
    forth, back = (train_seeds(tiny_config(), small_corpus, seeds) for seeds in (SEEDS, SEEDS[::-1]))
    assert len({result.dev_nats for result in forth}) == 3
    assert [result.dev_nats for result in forth] == pytest.approx([result.dev_nats for result in back[::-1]], abs=1e-5)


@pytest.mark.parametrize("batch_size", [SIDE_BY_SIDE, IN_TURN])
def test_the_same_seeds_give_the_same_bits_again(small_corpus: Corpus, tiny_config: MakeConfig, batch_size: int):
    config = tiny_config(batch_size=batch_size, dropout=0.2)
    first, again = (train_seeds(config, small_corpus, SEEDS) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert losses(one) == losses(other)
        assert torch.equal(one.model.parameters, other.model.parameters)


@pytest.mark.parametrize("batch_size", [SIDE_BY_SIDE, IN_TURN])
def test_each_model_scores_what_its_result_says(small_corpus: Corpus, tiny_config: MakeConfig, batch_size: int):
    for result in train_seeds(tiny_config(batch_size=batch_size), small_corpus, SEEDS):
        assert split_nats(result.model, small_corpus.counts("train", 3)) == result.train_nats
        assert split_nats(result.model, small_corpus.counts("dev", 3)) == result.dev_nats


def test_the_callback_sees_the_newest_point_of_every_seed_side_by_side(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Sequence[Evaluation]] = []
    results = train_seeds(tiny_config(), small_corpus, SEEDS, on_evaluation=seen.append)
    assert seen == [list(points) for points in zip(*(result.curve for result in results), strict=True)]
    assert [len(points) for points in seen] == [3, 3, 3, 3]


def test_a_callback_that_returns_false_stops_all_seeds_side_by_side(small_corpus: Corpus, tiny_config: MakeConfig):
    results = train_seeds(tiny_config(), small_corpus, SEEDS, on_evaluation=lambda points: points[0].step < 20)
    assert [(result.status, result.steps, len(result.curve)) for result in results] == [("stopped", 20, 2)] * 3


def test_the_seconds_of_seeds_side_by_side_are_positive_and_alike(small_corpus: Corpus, tiny_config: MakeConfig):
    first, *others = ([p.seconds for p in r.curve] for r in train_seeds(tiny_config(), small_corpus, SEEDS))
    assert 0 < first[0] < first[1] < first[2] < first[3]
    assert others == [first, first]


def test_the_time_of_a_step_is_shared_out_among_the_seeds_side_by_side(
    small_corpus: Corpus, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    clock = SimpleNamespace(now=0.0)

    def slow_step(_rate: float) -> None:
        clock.now += 1.5

    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(trainer, "make_optimizer", lambda *_: SimpleNamespace(step=slow_step))
    for result in train_seeds(tiny_config(), small_corpus, SEEDS):
        assert [point.seconds for point in result.curve] == [5, 10, 15, 20]


# One that blows up


def blown_up(*seeds: int) -> Any:
    """`build` of a CharMLP that has weights which are not finite for these seeds."""

    def build(config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> CharMLP:
        model = CharMLP.build(config, vocabulary_size, generator)
        if config.seed in seeds:
            model.parameters[::2] = math.inf
            model.parameters[1::2] = math.nan
        return model

    return build


@pytest.mark.parametrize("batch_size", [SIDE_BY_SIDE, IN_TURN])
def test_a_seed_that_blows_up_diverges_alone(small_corpus: Corpus, tiny_config: MakeConfig, batch_size: int):
    config = tiny_config(batch_size=batch_size)
    results = train_seeds(config, small_corpus, SEEDS, build=blown_up(0))
    assert [result.status for result in results] == ["complete", "diverged", "complete"]
    assert [result.steps for result in results] == [40, 10, 40]
    assert math.isnan(results[1].dev_nats)
    for seed, result in zip(SEEDS[::2], results[::2], strict=True):
        expected = alone(config, small_corpus, seed)
        assert losses(result) == [pytest.approx(point, abs=1e-4) for point in losses(expected)]


def test_the_callback_sees_no_more_of_a_seed_that_has_blown_up(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Sequence[Evaluation]] = []
    results = train_seeds(tiny_config(), small_corpus, SEEDS, build=blown_up(3), on_evaluation=seen.append)
    assert seen == [list(points) for points in zip(*(result.curve for result in results[1:]), strict=True)]
    assert [len(points) for points in seen] == [2, 2, 2, 2]


def test_seeds_that_all_blow_up_end_at_once(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Sequence[Evaluation]] = []
    results = train_seeds(tiny_config(), small_corpus, SEEDS, build=blown_up(*SEEDS), on_evaluation=seen.append)
    assert [(result.status, result.steps) for result in results] == [("diverged", 10)] * 3
    assert seen == []


def test_a_stop_leaves_a_seed_that_has_blown_up_as_diverged(small_corpus: Corpus, tiny_config: MakeConfig):
    results = train_seeds(tiny_config(), small_corpus, SEEDS, build=blown_up(7), on_evaluation=lambda _: False)
    assert [result.status for result in results] == ["stopped", "stopped", "diverged"]


# In turn


@pytest.mark.parametrize(
    ("batch_size", "build"),
    [(IN_TURN, CharMLP.build), (SIDE_BY_SIDE, build_plain)],
    ids=["large batch", "another model"],
)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_in_turn_every_seed_gets_the_bits_it_gets_alone(
    small_corpus: Corpus, tiny_config: MakeConfig, batch_size: int, build: Any, dropout: float
):
    config = tiny_config(batch_size=batch_size, dropout=dropout)
    for seed, result in zip(SEEDS, train_seeds(config, small_corpus, SEEDS, build=build), strict=True):
        expected = alone(config, small_corpus, seed, build=build)
        assert losses(result) == losses(expected)
        assert torch.equal(result.model.parameters, expected.model.parameters)


@pytest.mark.parametrize("changes", [{"batch_size": IN_TURN}, {"budget": Budget(seconds=0.05)}], ids=["large", "timed"])
def test_in_turn_every_seed_runs_to_its_end_and_is_seen_by_itself(
    small_corpus: Corpus, tiny_config: MakeConfig, changes: dict[str, Any]
):
    seen: list[Sequence[Evaluation]] = []
    config = tiny_config(**changes)
    results = train_seeds(config, small_corpus, SEEDS, on_evaluation=seen.append)
    assert [result.status for result in results] == ["complete"] * 3
    assert config.budget.seconds is None or all(result.seconds >= config.budget.seconds for result in results)
    assert seen == [[point] for result in results for point in result.curve]


def test_in_turn_a_callback_that_returns_false_starts_no_further_seed(small_corpus: Corpus, tiny_config: MakeConfig):
    seen: list[Sequence[Evaluation]] = []

    def stop_in_the_second_seed(points: Sequence[Evaluation]) -> bool:
        seen.append(points)
        return len(seen) < 6

    results = train_seeds(tiny_config(batch_size=IN_TURN), small_corpus, SEEDS, on_evaluation=stop_in_the_second_seed)
    assert [(result.status, result.steps) for result in results] == [("complete", 40), ("stopped", 20)]


@pytest.mark.parametrize("batch_size", [SIDE_BY_SIDE, IN_TURN])
def test_a_subclass_is_trained_through_its_own_gradient(small_corpus: Corpus, tiny_config: MakeConfig, batch_size: int):
    calls: list[int] = []

    class Still(CharMLP):
        def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
            calls.append(len(targets))
            loss = super().loss_and_gradient(contexts, targets, generator=generator)
            self.gradient.zero_()
            return loss

    config = tiny_config(batch_size=batch_size)
    results = train_seeds(config, small_corpus, SEEDS, build=Still.build)
    assert calls == [batch_size] * 40 * 3
    for seed, result in zip(SEEDS, results, strict=True):
        fresh = CharMLP.build(config, small_corpus.vocabulary_size, stream(seed, "init"))
        assert torch.equal(result.model.parameters, fresh.parameters)
