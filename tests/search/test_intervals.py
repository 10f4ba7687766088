"""Statistics of the finalists: cases worked by hand, the bootstrap against a plain loop, ties, and which one wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.search import bootstrap as compare
from harness.search.bootstrap import Interval, choose, mean_nats, resampled_means, share_better, tied_with_best


def made_up(contenders: int, seeds: int, items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Nats that grow with an item's symbols, as losses do, and those symbols."""
    chance = np.random.default_rng(seed)
    symbols = chance.integers(2, 9, size=items)
    return symbols * chance.gamma(4, 0.5, size=(contenders, seeds, items)), symbols


def test_a_mean_is_over_all_symbols_and_seeds():
    nats = np.array([[[2.0, 4.0], [4.0, 8.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert mean_nats(nats, np.array([1, 3])).tolist() == [9 / 4, 2 / 4]


def test_an_interval_leaves_out_a_fortieth_on_either_side():
    interval = Interval.of(np.arange(1001.0))
    assert (interval.low, interval.high) == pytest.approx((25, 975))


def test_a_share_counts_equal_resamples_half():
    assert share_better(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.0, 5.0])) == (2 + 1 / 2) / 4


def test_the_bootstrap_equals_a_plain_loop_over_the_same_draws():
    nats, symbols = made_up(contenders=3, seeds=4, items=25)
    of_items, of_seeds = np.random.default_rng(7).spawn(2)
    items, seeds = of_items.integers(25, size=(200, 25)), of_seeds.integers(4, size=(200, 4))
    plain = [
        [sum(nats[c, s, i] for s in seeds[r] for i in items[r]) / 4 / symbols[items[r]].sum() for c in range(3)]
        for r in range(200)
    ]
    assert resampled_means(nats, symbols, resamples=200, seed=7) == pytest.approx(np.array(plain), rel=1e-12)


def test_resamples_do_not_depend_on_how_many_are_drawn_together(monkeypatch: pytest.MonkeyPatch):
    nats, symbols = made_up(contenders=2, seeds=3, items=40)
    whole = resampled_means(nats, symbols, resamples=500)
    monkeypatch.setattr(compare, "_DRAWN_AT_ONCE", 40 * 7)
    assert resampled_means(nats, symbols, resamples=500) == pytest.approx(whole, rel=1e-12)


def test_the_spread_over_items_is_that_of_the_textbook():
    nats, _ = made_up(contenders=1, seeds=1, items=400)
    same = np.full(400, 5)
    expected = nats[0, 0].std() / np.sqrt(400) / 5
    assert resampled_means(nats, same)[:, 0].std() == pytest.approx(expected, rel=0.03)


def test_the_spread_over_seeds_is_narrower_by_the_root_of_s_less_one_over_s():
    levels = np.array([1.0, 1.1, 1.3])
    resampled = resampled_means(levels[None, :, None] * np.ones((1, 3, 50)), np.ones(50, dtype=int))[:, 0]
    assert resampled.std() == pytest.approx(levels.std(ddof=1) / np.sqrt(3) * np.sqrt(2 / 3), rel=0.03)


def test_what_contenders_share_cancels_in_their_difference():
    nats, symbols = made_up(contenders=1, seeds=3, items=60)
    resampled = resampled_means(np.concatenate([nats, nats + 1e-6 * symbols]), symbols)
    difference = resampled[:, 1] - resampled[:, 0]
    assert difference == pytest.approx(1e-6, rel=1e-6)
    assert tied_with_best(mean_nats(np.concatenate([nats, nats + 1e-6 * symbols]), symbols), resampled) == [True, False]


@pytest.mark.parametrize(("contenders", "seeds", "items"), [(2, 1, 10), (3, 2, 33), (6, 5, 320), (7, 3, 3203)])
def test_identical_models_are_tied_to_the_bit(contenders: int, seeds: int, items: int):
    nats, symbols = made_up(1, seeds, items)
    nats = np.repeat(nats, contenders, axis=0)
    resampled = resampled_means(nats, symbols, resamples=300)
    assert all(tied_with_best(mean_nats(nats, symbols), resampled))
    assert share_better(resampled[:, 0], resampled[:, -1]) == 0.5


def test_an_interval_that_contains_zero_is_a_tie_and_one_above_zero_is_none():
    best = np.zeros(1001)
    touching = np.concatenate([np.zeros(40), np.ones(961)])
    apart = np.concatenate([np.zeros(20), np.ones(981)])
    assert tied_with_best(np.array([0.0, 0.9, 0.9]), np.column_stack([best, touching, apart])) == [True, True, False]


def test_equal_contenders_tie_and_a_clearly_worse_one_does_not():
    symbols = np.full(200, 5)
    chance = np.random.default_rng(3)
    noise = chance.normal(0, 1, size=(3, 4, 200))
    nats = 10 + noise - noise.mean((1, 2), keepdims=True) + np.array([0.0, 0.01, 1.0])[:, None, None]
    assert tied_with_best(mean_nats(nats, symbols), resampled_means(nats, symbols)) == [True, True, False]


@pytest.mark.parametrize(
    ("means", "tied", "parameters", "yields", "winner"),
    [
        ((1.0, 1.1, 1.2), (True, True, True), (300, 200, 100), (False,) * 3, 2),  # fewest parameters of those tied
        ((1.0, 1.1, 1.2), (True, True, False), (300, 200, 100), (False,) * 3, 1),  # one that is not tied never wins
        ((1.0, 1.1, 1.2), (True, True, True), (200, 200, 300), (False,) * 3, 0),  # as many parameters: the lower mean
        ((1.0, 1.0), (True, True), (200, 200), (False,) * 2, 0),  # equal in all: the first
        ((1.0, 1.1), (True, True), (100, 900), (True, False), 1),  # the recipe is ahead, smaller and tied: it gives way
        ((1.0, 1.1), (True, False), (100, 900), (True, False), 0),  # the recipe is ahead and not tied
        ((1.0, 1.1), (True, True), (900, 100), (False, True), 0),  # the recipe is behind and tied
    ],
)
def test_the_winner(means: tuple, tied: tuple, parameters: tuple, yields: tuple, winner: int):
    assert choose(means, tied, parameters, yields) == winner


ROWS = st.lists(st.tuples(st.floats(1, 3), st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=6)


@given(ROWS)
def test_the_winner_is_tied_and_smallest_and_the_recipe_gives_way_to_any_other_such(
    rows: list[tuple[float, int, bool, bool]],
):
    means, parameters, tied, yields = (list(column) for column in zip(*rows, strict=True))
    tied[means.index(min(means))] = True
    won = choose(means, tied, parameters, yields)
    assert tied[won]
    rivals = [i for i in range(len(rows)) if tied[i] and not yields[i]]
    assert yields[won] == (not rivals)
    assert all(parameters[won] <= parameters[i] for i in rivals)
