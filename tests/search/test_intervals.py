"""Statistics of the finalists: cases worked by hand, coverage, ties, equal losses, and which one wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from harness.search.intervals import (
    SEED_DEVIATION,
    choose,
    difference,
    interval,
    mean_nats,
    ranks,
    resolution,
    tie_margin,
    tied_with_best,
    winner_of,
)
from harness.search.selection_bias import selection_bias


def made_up(contenders: int, seeds: int, items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Nats that grow with an item's symbols, as losses do, and those symbols."""
    chance = np.random.default_rng(seed)
    symbols = chance.integers(2, 9, size=items)
    return symbols * chance.gamma(4, 0.5, size=(contenders, seeds, items)), symbols


def test_a_mean_is_over_all_symbols_and_seeds():
    nats = np.array([[[2.0, 4.0], [4.0, 8.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert mean_nats(nats, np.array([1, 3])).tolist() == [9 / 4, 2 / 4]
    assert interval(nats[0], np.array([1, 3])).mean == 9 / 4


def test_the_interval_of_one_seedless_model_is_that_of_the_textbook():
    nats, _ = made_up(contenders=1, seeds=1, items=12)
    found = interval(nats[0], np.full(12, 5))
    half = student.ppf(0.975, 11) * nats[0, 0].std(ddof=1) / np.sqrt(12) / 5
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))


def test_the_interval_of_seeds_that_differ_alike_on_all_items_is_that_of_the_textbook():
    levels = np.array([1.0, 1.1, 1.3])
    found = interval(levels[:, None] * np.ones((3, 50)), np.ones(50, dtype=int))
    assert found.half_width == pytest.approx(student.ppf(0.975, 2) * levels.std(ddof=1) / np.sqrt(3))


def test_variances_over_items_and_seeds_add_up_without_counting_their_interaction_twice():
    items, seeds = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.0, 0.5, -0.5])
    added = interval(items + seeds[:, None], np.ones(4, dtype=int))
    assert added.error**2 == pytest.approx(items.var(ddof=1) / 4 + seeds.var(ddof=1) / 3)
    chance = np.random.default_rng(0).normal(size=(300, 400))  # interaction only: its variance is that over all cells
    assert interval(chance, np.ones(400, dtype=int)).error == pytest.approx(1 / np.sqrt(300 * 400), rel=0.25)


def test_one_seed_assumes_the_noise_that_tuned_configs_have():
    same = np.ones((1, 40))
    found = difference(same, same, np.ones(40, dtype=int))
    assert found.half_width == pytest.approx(1.959964 * SEED_DEVIATION * np.sqrt(2))


LOSSES = st.floats(0, 30, allow_nan=False)


@given(st.data(), st.integers(1, 4), st.integers(2, 9))
def test_a_mean_lies_inside_its_own_interval(data: st.DataObject, seeds: int, items: int):
    rows = st.lists(LOSSES, min_size=items, max_size=items)
    constant = data.draw(st.booleans())
    nats = np.full((seeds, items), data.draw(LOSSES)) if constant else np.array([data.draw(rows) for _ in range(seeds)])
    symbols = np.array(data.draw(st.lists(st.integers(1, 40), min_size=items, max_size=items)))
    found = interval(nats, symbols)
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(nats.sum() / seeds / symbols.sum())


@pytest.mark.parametrize(("items", "seeds"), [(10, 1), (10, 2), (10, 5), (20, 2), (30, 5), (150, 5)])
def test_the_interval_covers_the_truth_in_95_of_100_cases(items: int, seeds: int):
    """Two random factors, each with its noise: three standard errors of 800 cases are 0.023.

    Seeds differ less than items, as they do here; two seeds that differ more are covered in 88 of 100 cases only.
    """
    chance = np.random.default_rng(items + seeds)
    inside = 0
    for _ in range(800):
        of_items, of_seeds = chance.normal(2, 0.6, size=items), chance.normal(0, 0.02, size=(seeds, 1))
        nats = of_items + of_seeds + chance.normal(0, 0.2, size=(seeds, items))
        found = interval(nats, np.ones(items, dtype=int), one_seed=0.02)
        inside += found.low <= 2 <= found.high
    assert 0.95 - 0.023 <= inside / 800 <= 0.95 + 0.035


def test_what_contenders_share_cancels_in_their_difference():
    nats, symbols = made_up(contenders=1, seeds=3, items=60)
    apart = difference(nats[0] + 1e-4 * symbols, nats[0], symbols)
    assert (apart.mean, apart.low, apart.high) == pytest.approx((1e-4,) * 3, rel=1e-6)
    assert apart.p_below_zero < 1e-6


@pytest.mark.parametrize(("contenders", "seeds", "items"), [(2, 1, 10), (3, 2, 33), (6, 5, 320), (7, 3, 3203)])
def test_identical_models_are_tied_though_they_are_summed_in_another_order(contenders: int, seeds: int, items: int):
    nats, symbols = made_up(1, seeds, items)
    rounding = np.random.default_rng(1).normal(0, 2e-7, size=(contenders, seeds, items))
    nats = nats + rounding * symbols
    assert all(tied_with_best(nats, symbols, margin=0.0))
    assert difference(nats[0], nats[-1], symbols).p_below_zero == 0.5
    assert ranks(list(mean_nats(nats, symbols))) == list(range(contenders))
    assert winner_of(nats, symbols, [5] * contenders, [False] * contenders) == 0


def test_equal_losses_keep_their_order_between_lower_and_higher_ones():
    assert ranks([2.0, 1.0 + 4e-7, 1.0, 0.5, 2.0]) == [3, 1, 2, 0, 4]


def test_a_tie_needs_an_interval_that_contains_zero_and_a_small_difference():
    symbols = np.full(200, 5)
    chance = np.random.default_rng(3)
    noise = chance.normal(0, 1, size=(3, 4, 200))
    nats = 10 + noise - noise.mean((1, 2), keepdims=True) + np.array([0.0, 0.01, 1.0])[:, None, None]
    assert tied_with_best(nats, symbols, margin=0.01) == [True, True, False]
    assert tied_with_best(nats, symbols, margin=0.001) == [True, False, False]
    assert tied_with_best(nats, symbols, margin=9.0) == [True, True, False]


def test_the_margin_is_two_standard_errors_of_the_noise_between_seeds_without_the_recipes():
    levels = np.array([[1.0, 1.1], [2.0, 2.3], [3.0, 9.0]])[:, :, None]
    nats = levels * np.ones((3, 2, 6))
    pooled = np.sqrt((0.1**2 / 2 + 0.3**2 / 2) / 2)
    assert tie_margin(nats, np.ones(6, dtype=int), [False, False, True]) == pytest.approx(2 * pooled)
    one = tie_margin(nats[:, :1], np.ones(6, dtype=int), [False] * 3)
    assert one == pytest.approx(2 * SEED_DEVIATION * np.sqrt(2))


def test_with_little_data_a_small_model_that_is_clearly_worse_does_not_win():
    """The intervals of 12 items contain 0 for all; the small model is 0.0455 worse and very likely so."""
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.1, size=(2, 1, 12))
    noise -= noise.mean(-1, keepdims=True)
    seeds = np.array([-0.002, 0.0, 0.002])[:, None]
    nats = 2 + noise + seeds + np.array([0.0, 0.0455])[:, None, None]
    symbols = np.ones(12, dtype=int)
    apart = difference(nats[1], nats[0], symbols)
    assert apart.low < 0 < apart.mean
    assert tied_with_best(nats, symbols, tie_margin(nats, symbols, [False] * 2)) == [True, False]
    assert winner_of(nats, symbols, [900, 100], [False] * 2) == 0


def test_a_contender_that_is_very_likely_worse_is_not_tied_however_wide_margin_and_interval_are():
    base, noise = np.linspace(0, 1, 8), np.array([1, -1, 1, -1, 1, -1, 1, -1])
    nats = np.stack([np.stack([base, base]), np.stack([base, base]) + 0.0455 + 0.07 * noise])
    symbols = np.ones(8, dtype=int)
    apart = difference(nats[1], nats[0], symbols)
    assert apart.low < 0
    assert 0.025 < apart.p_below_zero < 0.1
    assert tied_with_best(nats, symbols, margin=1.0) == [True, False]


def test_the_resolution_is_the_median_half_width_of_all_pairs():
    nats, symbols = made_up(contenders=3, seeds=2, items=40)
    widths = [difference(nats[a], nats[b], symbols).half_width for a, b in ((0, 1), (0, 2), (1, 2))]
    assert resolution(nats, symbols) == sorted(widths)[1]
    assert resolution(nats[:1], symbols) is None


@pytest.mark.parametrize(
    ("order", "tied", "parameters", "yields", "winner"),
    [
        ((0, 1, 2), (True, True, True), (300, 200, 100), (False,) * 3, 2),  # fewest parameters of those tied
        ((0, 1, 2), (True, True, False), (300, 200, 100), (False,) * 3, 1),  # one that is not tied never wins
        ((0, 1, 2), (True, True, True), (200, 200, 300), (False,) * 3, 0),  # as many parameters: the lower mean
        ((1, 0), (True, True), (200, 200), (False,) * 2, 1),
        ((0, 1), (True, True), (100, 900), (True, False), 1),  # the recipe is ahead, smaller and tied: it gives way
        ((0, 1), (True, False), (100, 900), (True, False), 0),  # the recipe is ahead and not tied
        ((0, 1), (True, True), (900, 100), (False, True), 0),  # the recipe is behind and tied
    ],
)
def test_the_winner(order: tuple, tied: tuple, parameters: tuple, yields: tuple, winner: int):
    assert choose(order, tied, parameters, yields) == winner


ROWS = st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=6)


@given(ROWS)
def test_the_winner_is_tied_and_smallest_and_the_recipe_gives_way_to_any_other_such(rows: list[tuple[int, bool, bool]]):
    parameters, tied, yields = (list(column) for column in zip(*rows, strict=True))
    tied[0] = True
    won = choose(range(len(rows)), tied, parameters, yields)
    assert tied[won]
    rivals = [i for i in range(len(rows)) if tied[i] and not yields[i]]
    assert yields[won] == (not rivals)
    assert all(parameters[won] <= parameters[i] for i in rivals)


def lowest(nats: np.ndarray, symbols: np.ndarray) -> int:
    return int(mean_nats(nats, symbols).argmin())


def test_nothing_is_lost_by_a_choice_that_is_the_same_on_any_half():
    nats, symbols = made_up(contenders=1, seeds=2, items=41)
    far = np.concatenate([nats, nats + 9.0 * symbols])
    assert selection_bias(far, symbols, lowest) == pytest.approx(0.0, abs=0.1)
    same = selection_bias(np.repeat(nats, 3, axis=0), symbols, lowest)
    assert same == selection_bias(far, symbols, lowest)  # the same halves, the same first contender


def test_there_is_no_selection_bias_without_a_choice_or_halves():
    nats, symbols = made_up(contenders=2, seeds=2, items=3)
    assert selection_bias(nats[:1], symbols, lowest) is None
    assert selection_bias(nats, symbols, lowest) is None


@pytest.mark.parametrize("items", [60, 240])
def test_the_selection_bias_is_that_of_the_lowest_of_equal_contenders(items: int):
    """Five contenders of the same expected loss: the lowest is 1.163 standard errors too low."""
    chance = np.random.default_rng(items)
    symbols = np.ones(items, dtype=int)
    estimates = []
    for _ in range(40):
        nats = 2 + chance.normal(0, 0.5, size=(1, 1, items)) + chance.normal(0, 0.3, size=(5, 1, items))
        estimates.append(selection_bias(nats, symbols, lowest, repetitions=10))
    assert np.mean(estimates) == pytest.approx(1.163 * 0.3 / np.sqrt(items), rel=0.2)
