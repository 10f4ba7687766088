"""The mixture of a network and a counted n-gram, against the formula on probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness import Corpus
from harness.model import Ensemble, KneserNey, Mixture


class Fixed:
    """A predictor that gives every context the same probabilities."""

    def __init__(self, *probabilities: float) -> None:
        self.log_p = torch.tensor(probabilities).log()

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        return self.log_p.expand(len(contexts), -1)

    def tensors(self) -> dict[str, Tensor]:
        return {"log_p": self.log_p}


NETWORK, COUNTED = Fixed(0.7, 0.2, 0.1), Fixed(0.1, 0.1, 0.8)
CONTEXTS = torch.zeros(2, 3, dtype=torch.int64)


def test_a_mixture_is_the_weighted_sum_of_probabilities():
    mixed = Mixture(NETWORK, COUNTED, 0.25).log_probabilities(CONTEXTS)
    expected = [0.25 * 0.7 + 0.75 * 0.1, 0.25 * 0.2 + 0.75 * 0.1, 0.25 * 0.1 + 0.75 * 0.8]
    assert mixed.dtype == torch.float64
    assert mixed.exp().tolist() == [pytest.approx(expected, rel=1e-6)] * 2


@pytest.mark.parametrize(("weight", "part"), [(1.0, NETWORK), (0.0, COUNTED)])
def test_a_weight_of_one_or_zero_leaves_one_part_unchanged(weight: float, part: Fixed):
    mixed = Mixture(NETWORK, COUNTED, weight).log_probabilities(CONTEXTS)
    assert torch.equal(mixed, part.log_probabilities(CONTEXTS).double())


def test_a_probability_that_underflows_is_mixed():
    sure = Fixed(1.0, 0.0, 0.0)
    sure.log_p = torch.tensor([0.0, -2000.0, -2000.0])
    assert Mixture(sure, COUNTED, 0.5).log_probabilities(CONTEXTS)[0, 1].exp() == pytest.approx(0.05)


def test_an_ensemble_can_be_mixed():
    mixed = Mixture(Ensemble([NETWORK, COUNTED]), COUNTED, 0.5).log_probabilities(CONTEXTS)
    assert mixed[0, 0].exp() == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)


@pytest.mark.parametrize("weight", [-0.01, 1.01, float("nan")])
def test_a_weight_outside_0_to_1_is_refused(weight: float):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        Mixture(NETWORK, COUNTED, weight)


def test_its_tensors_are_those_of_both_parts_and_the_weight():
    tensors = Mixture(NETWORK, COUNTED, 0.25).tensors()
    assert set(tensors) == {"network.log_p", "counted.log_p", "weight"}
    assert tensors["weight"].item() == 0.25


@pytest.mark.parametrize("order", [1, 3])
def test_a_counted_model_is_restored_from_its_tensors(small_corpus: Corpus, order: int):
    train = small_corpus.counts("train", 4)
    model = KneserNey.of(train, small_corpus.vocabulary_size, order)
    again = KneserNey.from_tensors(model.tensors(), small_corpus.vocabulary_size)
    assert again.order == order
    assert torch.equal(again.log_probabilities(train.contexts), model.log_probabilities(train.contexts))
