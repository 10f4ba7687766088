"""The mixed loss on dev: against plain arithmetic over examples, and the weight against a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from harness import Corpus, TrainConfig, load, split_nats, train
from harness.model import CharMLP, Predictor
from harness.train import best_counted, counted_model, mix, mixture_of, stream
from harness.train.evaluate import pair_nats
from harness.train.mixing import mixed_item_nats

LENGTH = 3


@pytest.fixture(scope="module")
def network(small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]) -> Predictor:
    return train(tiny_config(), small_corpus).model


class Blind:
    """A network that knows nothing: uniform probabilities."""

    def __init__(self, vocabulary_size: int) -> None:
        self._V = vocabulary_size

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        return torch.full((len(contexts), self._V), 1 / self._V).log()

    def tensors(self) -> dict[str, Tensor]:
        return {}


class Oracle:
    """A network that knows the counts of dev themselves."""

    def __init__(self, corpus: Corpus) -> None:
        counts = corpus.counts("dev", LENGTH)
        table = torch.full((len(counts.contexts), corpus.vocabulary_size), 1e-9, dtype=torch.float64)
        table[counts.rows, counts.targets] = counts.counts
        self._known = {tuple(context): row for context, row in zip(counts.contexts.tolist(), table, strict=True)}

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        rows = torch.stack([self._known[tuple(context)] for context in contexts.tolist()])
        return (rows / rows.sum(1, keepdim=True)).log()

    def tensors(self) -> dict[str, Tensor]:
        return {}


def probabilities(model: Predictor, corpus: Corpus, items: list[str]) -> list[float]:
    """What a model gives each symbol of the items and each end, one context at a time."""
    found = []
    for item in items:
        symbols = [0] * LENGTH + [corpus.vocabulary.index(symbol) for symbol in item] + [0]
        for at in range(LENGTH, len(symbols)):
            with torch.no_grad():
                log_p = model.log_probabilities(torch.tensor([symbols[at - LENGTH : at]]))
            found.append(float(log_p[0, symbols[at]].double().exp()))
    return found


def nats_at(own: list[float], counted: list[float], weight: float) -> float:
    return float(-np.log(weight * np.array(own) + (1 - weight) * np.array(counted)).mean())


def test_the_mixed_loss_is_that_of_the_formula_over_all_examples(small_corpus: Corpus, network: Predictor):
    mixed = mix(network, small_corpus, LENGTH)
    counted = counted_model(small_corpus, best_counted(small_corpus, LENGTH).order)
    both = [probabilities(model, small_corpus, small_corpus.dev_items) for model in (network, counted)]
    assert mixed.order == best_counted(small_corpus, LENGTH).order
    assert mixed.dev_nats == pytest.approx(nats_at(*both, mixed.weight), abs=1e-6)
    assert mixed.even_nats == pytest.approx(nats_at(*both, 0.5), abs=1e-6)
    assert mixed.dev_nats < min(nats_at(*both, 0.0), nats_at(*both, 1.0))


def test_no_weight_of_a_grid_has_a_lower_loss(small_corpus: Corpus, network: Predictor):
    mixed = mix(network, small_corpus, LENGTH)
    dev = small_corpus.counts("dev", LENGTH)
    losses = {
        weight: split_nats(mixture_of(network, small_corpus, replace(mixed, weight=weight)), dev)
        for weight in np.linspace(0, 1, 101).tolist()
    }
    assert mixed.dev_nats <= min(losses.values())
    assert min(losses, key=lambda weight: losses[weight]) == pytest.approx(mixed.weight, abs=0.01)


def test_the_mixture_itself_has_the_mixed_loss(small_corpus: Corpus, network: Predictor):
    mixed = mix(network, small_corpus, LENGTH)
    own = pair_nats(network, small_corpus.counts("dev", LENGTH))
    mixture = mixture_of(network, small_corpus, mixed)
    assert split_nats(mixture, small_corpus.counts("dev", LENGTH)) == pytest.approx(mixed.dev_nats, abs=1e-12)
    assert mixed_item_nats(own, small_corpus, LENGTH, mixed).mean == pytest.approx(mixed.dev_nats, abs=1e-12)


def test_the_cost_of_fitting_is_what_each_half_loses_with_the_weight_of_the_other(
    small_corpus: Corpus, network: Predictor
):
    mixed = mix(network, small_corpus, LENGTH)
    counted = counted_model(small_corpus, mixed.order)
    half = len(small_corpus.dev_items) // 2
    halves = [
        [probabilities(model, small_corpus, items) for model in (network, counted)]
        for items in (small_corpus.dev_items[:half], small_corpus.dev_items[half:])
    ]
    grid = np.linspace(0, 1, 2001).tolist()
    fitted = [min(grid, key=lambda weight: nats_at(*pair, weight)) for pair in halves]
    crossed = [nats_at(*pair, weight) * len(pair[0]) for pair, weight in zip(halves, fitted[::-1], strict=True)]
    cost = sum(crossed) / sum(len(pair[0]) for pair in halves) - mixed.dev_nats
    assert mixed.fitting_cost is not None
    assert mixed.fitting_cost == pytest.approx(cost, abs=2e-5)
    assert 0 <= mixed.fitting_cost < 0.01


def test_a_network_that_knows_nothing_gets_no_weight(small_corpus: Corpus):
    mixed = mix(Blind(small_corpus.vocabulary_size), small_corpus, LENGTH)
    assert mixed.weight < 0.01
    assert mixed.dev_nats == pytest.approx(best_counted(small_corpus, LENGTH).dev_nats, abs=1e-3)


def test_a_network_that_knows_everything_gets_all_of_it(small_corpus: Corpus):
    mixed = mix(Oracle(small_corpus), small_corpus, LENGTH)
    assert mixed.weight == 1.0
    assert mixed.dev_nats == pytest.approx(small_corpus.counts("dev", LENGTH).conditional_entropy(), abs=1e-6)


def test_the_n_gram_looks_no_further_than_the_network(small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]):
    config = tiny_config()
    short = config.model_copy(update={"model": config.model.model_copy(update={"context_length": 1})})
    model = CharMLP.build(short, small_corpus.vocabulary_size, stream(0, "init"))
    assert mix(model, small_corpus, 1).order <= 2


def test_with_a_single_dev_item_the_cost_is_not_known(small_corpus: Corpus, network: Predictor):
    alone = replace(small_corpus, dev_items=small_corpus.dev_items[:1], _cache={})
    assert mix(network, alone, LENGTH).fitting_cost is None


def test_the_same_model_gives_the_same_bits(small_corpus_file: object, network: Predictor):
    first, second = (mix(network, load(str(small_corpus_file)), LENGTH) for _ in range(2))
    assert first == second
