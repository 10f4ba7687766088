"""Losses by item: their mean, its standard error compared with a bootstrap, and items seen in train."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import CharMLP, Corpus, ModelConfig, TrainConfig, split_nats, stream
from harness.corpus import OpenSplit
from harness.train import ItemNats, gap_error, item_nats, seen_in_train

MakeConfig = Callable[..., TrainConfig]


def fresh(corpus: Corpus, context_length: int) -> CharMLP:
    shape = ModelConfig(embedding_size=4, hidden_width=16, context_length=context_length, init="normal")
    return CharMLP.build(TrainConfig(model=shape), corpus.vocabulary_size, stream(0, "init"))


@pytest.mark.parametrize("context_length", [1, 3, 8])
@pytest.mark.parametrize("split", ["train", "dev"])
def test_items_make_up_exactly_their_splits_loss(small_corpus: Corpus, split: OpenSplit, context_length: int):
    model = fresh(small_corpus, context_length)
    found = item_nats(model, small_corpus, split, context_length)
    assert found.symbols.sum() == small_corpus.number_of_examples(split)
    assert found.mean == pytest.approx(split_nats(model, small_corpus.counts(split, context_length)), abs=1e-12)


def test_an_items_loss_is_the_sum_over_its_own_symbols(small_corpus: Corpus):
    model, examples = fresh(small_corpus, 3), small_corpus.examples("dev", 3)
    log_p = model.log_probabilities(examples.contexts).double().numpy()
    of_examples = -log_p[np.arange(len(examples)), examples.targets.numpy()]
    first, second = (len(item) + 1 for item in small_corpus.dev_items[:2])
    found = item_nats(model, small_corpus, "dev", 3)
    assert list(found.symbols[:2]) == [first, second]
    expected = [of_examples[:first].sum(), of_examples[first : first + second].sum()]
    assert list(found.nats[:2]) == pytest.approx(expected, abs=1e-4)


def test_the_standard_error_is_that_of_a_bootstrap_over_items():
    chance = np.random.default_rng(0)
    symbols = chance.integers(3, 12, 400)
    nats = ItemNats(symbols * chance.normal(2.0, 0.5, 400), symbols)  # symbols of one item rise and fall together
    drawn = chance.integers(0, 400, (4000, 400))
    means = nats.nats[drawn].sum(1) / nats.symbols[drawn].sum(1)
    assert nats.standard_error == pytest.approx(means.std(), rel=0.05)
    by_symbols = np.repeat(nats.nats / nats.symbols, symbols).std() / math.sqrt(symbols.sum())
    assert nats.standard_error > 2 * by_symbols  # what taking symbols for independent would have said


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(1, 9)), min_size=2, max_size=30))
def test_items_all_alike_per_symbol_leave_no_error(pairs: list[tuple[float, int]]):
    symbols = np.array([count for _, count in pairs])
    alike = ItemNats(1.5 * symbols, symbols)
    assert alike.standard_error == pytest.approx(0, abs=1e-12)
    some = ItemNats(np.array([nats for nats, _ in pairs]), symbols)
    assert some.standard_error >= 0
    assert gap_error(alike, some) == pytest.approx(some.standard_error)


def test_one_item_has_no_standard_error():
    assert math.isnan(ItemNats(np.array([3.0]), np.array([2])).standard_error)


def test_parts_of_a_split_are_chosen_by_items():
    nats = ItemNats(np.array([2.0, 9.0, 4.0]), np.array([1, 3, 2]))
    seen = seen_in_train(["a", "b", "a"], ["c", "a"])
    assert seen.tolist() == [True, False, True]
    assert (nats.where(seen).mean, nats.where(~seen).mean) == (2.0, 3.0)


def test_424_dev_names_also_occur_in_train(names: Corpus):
    assert seen_in_train(names.dev_items, names.train_items).sum() == 424
