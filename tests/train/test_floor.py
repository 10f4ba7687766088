"""Verdicts on corpora of known entropy: a network that has learnt all there is, and networks that have not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness import AdamW, Budget, Corpus, Cosine, Evaluation, ModelConfig, TrainConfig, diagnose, load
from harness.train import best_counted, judge, train
from harness.train.diagnose import Diagnosis
from harness.train.limit import Limit, limit_of
from tests.synthetic import Chain


def judged(corpus: Corpus, length: int, width: int = 48, steps: int = 1200, size: int = 8) -> Diagnosis:
    config = TrainConfig(
        model=ModelConfig(embedding_size=size, hidden_width=width, context_length=length),
        optimizer=AdamW(learning_rate=5e-3),
        schedule=Cosine(),
        batch_size=128,
        budget=Budget(steps=steps),
        evaluations=10,
    )
    return judge(train(config, corpus), config, corpus)


@pytest.mark.parametrize(("order", "letters"), [(0, 3), (1, 6), (2, 3), (3, 3)])
def test_a_network_at_the_entropy_of_a_chain_is_at_the_floor_and_others_are_not(
    tmp_path: Path, order: int, letters: int
):
    chain = Chain.drawn(order, letters, seed=1, end=0.2)
    corpus = chain.corpus(tmp_path, 10_000)
    limit = limit_of(corpus, 4)
    assert limit.order == order + 1
    assert limit.floor == pytest.approx(chain.entropy, abs=0.02)
    found = judged(corpus, 4)
    assert found.verdict == "at the floor"
    assert found.advice == "The loss is the entropy of the data: confirm it on fresh seeds."
    assert found.evidence["dev_nats"] == pytest.approx(chain.entropy, abs=0.04)
    assert judged(corpus, 4, steps=30).verdict == "underfitting"
    if order > 1:
        short = judged(corpus, 1)
        assert (short.verdict, short.advice) == ("underfitting", "Lengthen the context from 1 to 3.")
    if order > 0:
        assert judged(corpus, 4, width=1, size=1).verdict == "underfitting"


def test_a_longer_context_is_not_advised_where_counting_gains_nothing_by_it(tmp_path: Path):
    corpus = Chain.drawn(1, 6, seed=1, end=0.2).corpus(tmp_path, 10_000)
    found = judged(corpus, 2, width=1, size=1)
    assert found.verdict == "underfitting"
    assert found.evidence["longer_gain"] < 0.005
    assert found.advice == "Enlarge the embedding from 1 to 2."


def test_a_network_that_memorises_a_small_corpus_is_overfitting(tmp_path: Path):
    corpus = Chain.drawn(0, 3, seed=1, end=0.2).corpus(tmp_path, 300)
    assert judged(corpus, 6, width=256, steps=3000).verdict == "overfitting"


def test_ends_at_a_fixed_length_are_seen_by_longer_contexts_only(tmp_path: Path):
    corpus = Chain.drawn(1, 3, seed=1, length=6).corpus(tmp_path, 5_000)
    assert judged(corpus, 3).verdict == "underfitting"
    assert judged(corpus, 6, steps=2500).verdict == "at the floor"


@pytest.mark.parametrize("items", [["abcd"] * 300, ["a", "b", "c", "a"] * 300])
def test_identical_items_and_items_of_one_letter_are_learnt_to_the_floor(tmp_path: Path, items: list[str]):
    path = tmp_path / "items.txt"
    path.write_text("\n".join(items), encoding="utf-8")
    assert judged(load(str(path)), 3).verdict == "at the floor"


def test_a_corpus_of_items_of_equal_length_has_a_floor_that_n_grams_do_not_see(tmp_path: Path):
    chain = Chain.drawn(1, 10, seed=14)
    corpus = chain.corpus(tmp_path, 10_000)
    assert limit_of(corpus, 8).floor == pytest.approx(chain.entropy, abs=0.02)
    assert best_counted(corpus, 8).dev_nats > chain.entropy + 0.1
    assert judged(corpus, 8, steps=1500).verdict == "at the floor"
    assert judged(corpus, 8, width=1, size=1).verdict == "underfitting"
    short = judged(corpus, 4, steps=1500)
    assert (short.verdict, short.advice) == ("underfitting", "Lengthen the context from 4 to 6.")


def test_log_v_is_the_floor_of_uniformly_random_symbols_and_no_sign_of_divergence():
    chance = Limit(order=1, dev_nats=math.log(5), longer_gain=0.0, floor=math.log(5), floor_error=0.001)
    curve = [Evaluation(step, step, 1.0, 0.01, math.log(5) + 0.001, math.log(5) + 0.002) for step in (1, 2, 3)]
    assert diagnose(curve, TrainConfig(), 5, limit=chance).verdict == "at the floor"
    lower = replace(chance, dev_nats=1.2, floor=1.2)
    assert diagnose(curve, TrainConfig(), 5, limit=lower).verdict == "diverged"
    assert diagnose(curve, TrainConfig(), 5).verdict == "diverged"
