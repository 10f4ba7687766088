"""Verdicts: made-up curves with obvious answers, jitter that must not mislead, and real runs at the extremes."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import SGD, AdamW, Budget, Corpus, Cosine, Evaluation, ModelConfig, TrainConfig, diagnose, load, train
from harness.train import best_counted, gap_error, item_nats, judge
from harness.train.diagnose import LARGE_GAP, SEED_SPAN, SMALL_GAP, STILL_FALLING

MakeConfig = Callable[..., TrainConfig]


def curve_of(dev: list[float], *, gap: float = 0.1) -> list[Evaluation]:
    """A made-up run of evenly spaced evaluations, dev above train by `gap`."""
    return [Evaluation(100 * n, 3200 * n, float(n), 0.01, nats - gap, nats) for n, nats in enumerate(dev, start=1)]


def verdict_of(curve: list[Evaluation], **beside: float) -> str:
    return diagnose(curve, TrainConfig(), 27, **beside).verdict


FLAT, RISING = (
    [2.9, 2.6, 2.4, 2.3, 2.25, 2.2, 2.2, 2.2, 2.2, 2.2],
    [2.9, 2.6, 2.4, 2.3, 2.2, 2.1, 2.15, 2.18, 2.19, 2.2],
)
# Train goes on falling while dev rises from its sixth point on; the gap stays below LARGE_GAP.
MEMORISING = [
    dataclasses.replace(point, train_nats=min(point.train_nats, 2.08) - 0.001 * n)
    for n, point in enumerate(curve_of(RISING, gap=0.02))
]
FALLING = [2.9, 2.8, 2.7, 2.6, 2.55, 2.5, 2.45, 2.4, 2.35, 2.3]
# The last four evaluations of real runs: a constant rate whose last point happens to be low, and a cosine's end.
LUCKY_END = [2.263, 2.227, 2.242, 2.216, 2.209, 2.202, 2.192, 2.200, 2.210, 2.192]
ANNEALED = [2.212, 2.159, 2.134, 2.110, 2.072, 2.034, 2.008, 1.991, 1.976, 1.972]


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (curve_of([2.5, 2.4, math.nan]), "diverged"),
        (curve_of([2.5, 2.4, math.inf]), "diverged"),
        (curve_of([math.nan]), "diverged"),
        (curve_of([5.0, 4.0, 3.5]), "diverged"),  # falling, and yet above log 27 = 3.296
        (curve_of(FALLING), "still improving"),
        (curve_of(FALLING, gap=0.5), "still improving"),  # goes before overfitting
        (curve_of(FALLING, gap=0.0), "still improving"),  # goes before underfitting
        (curve_of([2.5, 2.4]), "still improving"),
        (MEMORISING, "overfitting"),
        (curve_of(FLAT, gap=0.2), "overfitting"),
        (curve_of(RISING, gap=0.01), "underfitting"),  # both rise: the rate jumps about, nothing is memorised
        (curve_of([2.9, 3.2, 3.4], gap=1.0), "overfitting"),  # dev alone above log V is memorising
        (curve_of(FLAT, gap=0.02), "underfitting"),
        (curve_of(LUCKY_END, gap=0.022), "underfitting"),
        (curve_of(FLAT, gap=0.1), "well fitted"),
        (curve_of(ANNEALED, gap=0.141), "well fitted"),
        (curve_of([2.2]), "well fitted"),  # one point shows neither a fall nor a rise
    ],
)
def test_a_made_up_curve_gets_the_obvious_verdict(curve: list[Evaluation], verdict: str):
    assert verdict_of(curve) == verdict


@given(
    st.floats(1.0, 2.5),
    st.floats(0.02, 0.2),
    st.floats(0.0, 1.0),
    st.integers(2, 40),
)
def test_a_straight_fall_is_still_improving_whatever_the_gap(end: float, fall: float, gap: float, points: int):
    dev = [end + fall * 10 * (points - n) / points for n in range(1, points + 1)]
    assert verdict_of(curve_of(dev, gap=gap)) == "still improving"


@given(st.floats(2.0, 2.5), st.floats(0.05, 0.5), st.integers(2, 8), st.integers(2, 20))
def test_dev_that_rises_while_train_falls_is_overfitting(lowest: float, rise: float, before: int, after: int):
    dev = [lowest + 0.2 * n for n in range(before, 0, -1)] + [lowest + rise * n / after for n in range(after + 1)]
    curve = [dataclasses.replace(point, train_nats=lowest - 0.005 * n) for n, point in enumerate(curve_of(dev))]
    assert verdict_of(curve) == "overfitting"


@given(st.floats(1.5, 3.0), st.floats(-0.02, 0.6), st.integers(1, 40))
def test_a_flat_run_is_judged_by_its_gap_alone(level: float, gap: float, points: int):
    expected = "underfitting" if gap < SMALL_GAP else "overfitting" if gap > LARGE_GAP else "well fitted"
    (point,) = curve_of([level], gap=gap)
    exact = point.dev_nats - point.train_nats  # the bounds themselves, as floating point has them
    if min(abs(exact - SMALL_GAP), abs(exact - LARGE_GAP)) > 1e-9:
        assert verdict_of(curve_of([level] * points, gap=gap)) == expected


@pytest.mark.parametrize("points", [10, 20, 40])
def test_jitter_at_a_constant_rate_is_seldom_mistaken_for_a_fall(points: int):
    chance = random.Random(points)
    verdicts = []
    for _ in range(300):
        shape = [2.3 + math.exp(-8 * n / points) for n in range(1, points + 1)]
        verdicts.append(verdict_of(curve_of([nats + chance.gauss(0, 0.03) for nats in shape])))
    assert verdicts.count("still improving") / len(verdicts) < 0.07
    assert verdicts.count("still improving") + verdicts.count("well fitted") == len(verdicts)


def test_a_large_gap_within_its_error_is_not_overfitting():
    flat = curve_of(FLAT, gap=LARGE_GAP + 0.03)
    assert verdict_of(flat, gap_error=0.01) == "overfitting"
    assert verdict_of(flat, gap_error=0.02) == "well fitted"


def test_a_network_that_counting_beats_has_not_used_its_context():
    flat = curve_of(FLAT, gap=0.1)
    assert verdict_of(flat, ngram_nats=2.2 - SEED_SPAN - 0.001) == "underfitting"
    assert verdict_of(flat, ngram_nats=2.2 - SEED_SPAN + 0.001) == "well fitted"
    assert verdict_of(flat, ngram_nats=2.3) == "well fitted"
    assert verdict_of(curve_of(FLAT, gap=0.3), ngram_nats=2.0) == "overfitting"  # a gap explains it
    assert verdict_of(curve_of(FALLING), ngram_nats=2.0) == "still improving"


def test_a_verdict_includes_the_numbers_it_is_based_on():
    evidence = diagnose(MEMORISING, TrainConfig(), 27, gap_error=0.01, ngram_nats=2.1).evidence
    # Theil-Sen over 2.15, 2.18, 2.19, 2.2: rises of .03, .02, .05/3, .01, .01, .01, so a median of (.01 + .05/3) / 2.
    assert evidence == pytest.approx(
        {
            "train_nats": 2.071,
            "dev_nats": 2.2,
            "log_vocabulary": math.log(27),
            "gap": 0.129,
            "gap_error": 0.01,
            "fall_at_end": -(0.01 + 0.05 / 3) / 2,
            "fall_error": evidence["fall_error"],
            "fall_in_last_tenth": -0.01,
            "jitter": 0.03,
            "rise_from_minimum": 0.1,
            "train_since_minimum": -0.004,
            "ngram_nats": 2.1,
            "above_ngram": 0.1,
        }
    )
    assert all(type(value) is float for value in evidence.values())
    assert diagnose(curve_of([math.nan]), TrainConfig(), 27, gap_error=0.01).evidence.keys() == {
        "train_nats", "dev_nats", "log_vocabulary",
    }  # fmt: skip


def test_the_fall_is_stated_per_tenth_of_the_run_however_few_evaluations_there_are():
    evidence = diagnose(curve_of([2.5, 2.4]), TrainConfig(), 27).evidence
    assert evidence["fall_in_last_tenth"] == pytest.approx(0.02)
    assert evidence["fall_at_end"] == pytest.approx(0.02)


def test_the_error_of_a_fall_is_that_of_a_straight_line():
    # 2.0 plus 1, -1, -1, 1 thousandths: no slope; residual variance 4e-6 / 2 over a spread of 5 squared tenths.
    dev = [2.0] * 6 + [2.001, 1.999, 1.999, 2.001]
    evidence = diagnose(curve_of(dev), TrainConfig(), 27).evidence
    assert evidence["fall_at_end"] == pytest.approx(0, abs=1e-12)
    assert evidence["fall_error"] == pytest.approx(math.sqrt(2e-6 / 5))


def test_the_last_tenth_is_looked_at_alone_where_the_evaluations_do_not_divide_the_steps():
    # 2,500,000 examples in batches of 1,024 are 2,441 steps; the trainer evaluates them at these
    steps = [math.ceil(tenth * 2441 / 10) for tenth in range(1, 11)]
    dev = [2.9, 2.8, 2.7, 2.6, 2.5, 2.4, 2.3, 2.25, 2.2, 2.2]  # falls by nothing from 2,197 to 2,441
    curve = [Evaluation(at, 1024 * at, at / 100, 0.01, nats - 0.1, nats) for at, nats in zip(steps, dev, strict=True)]
    assert verdict_of(curve) == "well fitted"
    assert diagnose(curve, TrainConfig(), 27).evidence["fall_at_end"] > STILL_FALLING


# Real runs


@pytest.fixture(scope="module")
def five_hundred_names(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:  # noqa: ARG001 (loads)
    path = tmp_path_factory.mktemp("corpora") / "five_hundred.txt"
    path.write_text("\n".join(load("ssa-2017").train_items[:500]), encoding="utf-8")
    return load(str(path))


def judged(config: TrainConfig, corpus: Corpus) -> tuple[str, str]:
    """Verdicts with and without the measurements that do not come from the curve."""
    result = train(config, corpus)
    plainly = diagnose(result.curve, config, corpus.vocabulary_size)
    return judge(result, config, corpus).verdict, plainly.verdict


def test_a_network_of_two_units_underfits(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config(
        model=ModelConfig(embedding_size=2, hidden_width=2, context_length=1),
        schedule=Cosine(),
        budget=Budget(steps=1500),
        evaluations=10,
    )
    assert judged(config, small_corpus) == ("underfitting", "underfitting")


def test_a_512_wide_network_overfits_500_names(five_hundred_names: Corpus):
    config = TrainConfig(
        model=ModelConfig(embedding_size=16, hidden_width=512, context_length=5),
        optimizer=AdamW(learning_rate=5e-3),
        batch_size=256,
        budget=Budget(steps=200),
    )
    assert judged(config, five_hundred_names) == ("overfitting", "overfitting")


@pytest.mark.parametrize("optimizer", [SGD(learning_rate=10), AdamW(learning_rate=10)], ids=["sgd", "adamw"])
def test_a_learning_rate_of_ten_diverges_and_stays_finite(
    small_corpus: Corpus, tiny_config: MakeConfig, optimizer: Any
):
    config = tiny_config(optimizer=optimizer, budget=Budget(steps=200))
    found = judge(train(config, small_corpus), config, small_corpus)
    assert found.verdict == "diverged"
    assert math.log(small_corpus.vocabulary_size) < found.evidence["train_nats"] < 1000
    assert found.next is not None
    assert found.next.optimizer.learning_rate == 1.0


def test_a_run_cut_short_is_still_improving(small_corpus: Corpus, tiny_config: MakeConfig):
    assert judged(tiny_config(evaluations=10), small_corpus) == ("still improving", "still improving")


def test_judging_measures_the_gaps_error_and_counts_at_the_runs_own_context_length(
    small_corpus: Corpus, tiny_config: MakeConfig
):
    config = tiny_config()
    result = train(config, small_corpus)
    evidence = judge(result, config, small_corpus).evidence
    items = [item_nats(result.model, small_corpus, split, 3) for split in ("train", "dev")]
    assert evidence["gap_error"] == gap_error(*items)
    assert evidence["ngram_nats"] == best_counted(small_corpus, 3).dev_nats
    averaged = judge(result, config, small_corpus, one_model=False).evidence
    assert "gap_error" not in averaged
    assert averaged["ngram_nats"] == evidence["ngram_nats"]
    stopped = judge(dataclasses.replace(result, status="stopped"), config, small_corpus).evidence
    assert not {"gap_error", "ngram_nats"} & stopped.keys()
