"""What advice is worth: how trials are drawn, followed and changed at random, and how the outcome is summarised."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from harness import Budget, Constant, Corpus, ModelConfig, TrainConfig, train
from harness.bench import advice
from harness.bench.advice import Followed, draw, follow, measure_advice, random_change
from harness.bench.compared import compare, compared_frame, followed_frame
from harness.train import judge, moves

MakeConfig = Callable[..., TrainConfig]
KINDS = ["searched", "lecture's", "small", "wide", "hot"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_is_drawn_from_its_seed_alone(kind: str):
    config = draw(kind, 5)
    assert config == draw(kind, 5)
    assert config.seed == 5
    assert config.model != draw(kind, 6).model
    examples = config.budget.examples
    assert examples is not None
    assert examples <= 1_000_000


def test_kinds_take_turns_and_no_trial_is_drawn_twice(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    drawn = []
    monkeypatch.setattr(advice, "follow", lambda number, kind, config, _: drawn.append((number, kind, config)))
    assert len(list(measure_advice(small_corpus))) == 60
    assert Counter(kind for _, kind, _ in drawn) == dict(zip(KINDS, (33, 12, 6, 6, 3), strict=True))
    assert len({config.seed for _, _, config in drawn}) == 60
    assert [number for number, _, _ in drawn] == list(range(60))


def test_a_trial_is_judged_followed_and_changed_from_the_same_seed(small_corpus: Corpus, tiny_config: MakeConfig):
    config = tiny_config(model=ModelConfig(embedding_size=2, hidden_width=2, context_length=1), seed=3)
    found = follow(7, "small", config, small_corpus)
    result = train(config, small_corpus)
    diagnosis = judge(result, config, small_corpus)
    assert diagnosis.next is not None
    assert (found.trial, found.kind, found.verdict) == (7, "small", diagnosis.verdict)
    assert found.advice.lower() == diagnosis.advice.lower().rstrip(".")
    assert found.dev_nats == result.dev_nats
    assert found.advised_nats == train(diagnosis.next, small_corpus).dev_nats
    changed = {move.text: move.config for move in moves(config).values()}[found.change]
    assert changed.seed == diagnosis.next.seed == 3
    assert found.changed_nats == train(changed, small_corpus).dev_nats
    assert TrainConfig.parse(found.config) == config


def test_a_well_fitted_trial_is_not_changed(
    small_corpus: Corpus, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    config = tiny_config()
    confirmed = judge(train(config, small_corpus), config, small_corpus)
    monkeypatch.setattr(
        advice, "judge", lambda *_: type(confirmed)("well fitted", confirmed.evidence, "Confirm it.", None)
    )
    found = follow(0, "small", config, small_corpus)
    assert (found.verdict, found.advice, found.advised_nats, found.changed_nats) == ("well fitted", "", None, None)


@pytest.mark.slow
def test_a_random_change_picks_all_knobs_equally_often_and_in_each_direction():
    config, chance = TrainConfig(dropout=0.3, schedule=Constant(), budget=Budget(steps=100)), random.Random(0)
    drawn = [random_change(config, "underfitting", chance) for _ in range(8000)]
    knobs, names = Counter(move.knob for move in drawn), Counter(move.name for move in drawn)
    assert len(knobs) == 8
    assert all(abs(count - 1000) < 120 for count in knobs.values())
    assert abs(names["more steps"] - names["fewer steps"]) < 120
    assert "far lower rate" not in names
    diverged = {random_change(config, "diverged", chance).name for _ in range(300)}
    assert "far lower rate" in diverged


def row(number: int, advised: float | None, changed: float | None, **given: Any) -> Followed:
    settled = {"kind": "small", "verdict": "underfitting", "dev_nats": 2.0, "advice": "widen", "advice_knob": "hidden"}
    return Followed(
        number, **settled | {"advised_nats": advised, "changed_nats": changed, "change_knob": "dropout"} | given
    )


ROWS = [
    *(row(n, 1.9 - 0.01 * n, 2.05 + 0.01 * n) for n in range(6)),  # only the advice lowers dev
    row(6, 2.1, 1.8, verdict="overfitting"),  # only the random change does
    row(7, 1.9, 1.9),  # both the same
    row(8, 1.9, 1.95, advice_knob="budget"),
    row(9, 5.0, math.nan, verdict="diverged", dev_nats=math.inf),
    row(10, None, None, verdict="well fitted"),
]


def test_advice_and_chance_are_compared_by_exact_tests():
    found = {each.group: each for each in compare(ROWS)}
    assert list(found) == [
        "all", "no change of budget on either side", "all but diverged", "underfitting", "overfitting", "diverged",
    ]  # fmt: skip
    whole = found["all"]
    assert (whole.trials, whole.advice_lowered, whole.change_lowered) == (10, 9, 3)
    assert (whole.advice_won, whole.tied) == (8, 1)
    assert whole.sign_p == pytest.approx(2 * (1 + 9) / 2**9)  # 8 of 9
    assert whole.mcnemar_p == pytest.approx(2 * (1 + 8) / 2**8)  # 7 against 1: the diverged one did not get better
    assert math.isnan(whole.advice_mean)
    ran = found["all but diverged"]
    apart = [(1.9 - 0.01 * n) - (2.05 + 0.01 * n) for n in range(6)] + [0.3, 0.0, -0.05]
    assert ran.wilcoxon_p == pytest.approx(stats.wilcoxon(apart).pvalue)
    assert ran.advice_mean == pytest.approx(-(0.1 * 6 + 0.15 - 0.1 + 0.1 + 0.1) / 9)
    assert found["no change of budget on either side"].trials == 9
    assert (found["overfitting"].advice_won, found["overfitting"].sign_p) == (0, 1.0)


def test_nothing_but_ties_is_no_evidence():
    (tied, *_) = compare([row(0, 1.9, 1.9)])
    assert (tied.sign_p, tied.mcnemar_p, tied.wilcoxon_p) == (1.0, 1.0, 1.0)


def test_the_table_shows_every_group_and_how_many_had_nothing_to_change():
    shown = compared_frame(ROWS)
    assert list(shown["n"]) == ["10", "9", "9", "8", "1", "1", "1"]
    assert shown["trials"].iloc[-1] == "nothing to change, not counted above"
    assert shown["advice lowered dev"].iloc[0] == "9 (90%)"
    assert list(followed_frame(ROWS)["trial"]) == list(range(11))
