"""Advice: the possible moves, which one a verdict leads to, and that it changes one knob within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness import (
    SGD,
    AdamW,
    Budget,
    Constant,
    Cosine,
    InverseTime,
    Linear,
    ModelConfig,
    Step,
    TrainConfig,
    lecture_recipe,
)
from harness.train import moves
from harness.train.advice import advise
from tests.strategies import OPTIMIZERS, SCHEDULES, fraction

CALM = {"jitter": 0.0, "rise_from_minimum": 0.0, "gap": 0.1}
KNOBS = {"hidden", "embedding", "context", "dropout", "weight decay", "learning rate", "schedule", "budget"}

MODELS = st.builds(
    ModelConfig,
    embedding_size=st.integers(1, 512),
    hidden_width=st.integers(1, 8192),
    second_width=st.integers(0, 64),
    direct_connections=st.booleans(),
    context_length=st.integers(1, 64),
    extra=st.sampled_from([{}, {"layers": 2, "activation": "relu"}]),
)
CONFIGS = st.builds(
    TrainConfig,
    model=MODELS,
    optimizer=st.one_of(*OPTIMIZERS.values()),
    schedule=st.one_of(*SCHEDULES.values()),
    dropout=fraction(exclude_max=True),
    budget=st.builds(Budget, steps=st.integers(1, 10**9)) | st.builds(Budget, seconds=st.floats(0.1, 1e6)),
)


def knobs_turned(before: TrainConfig, after: TrainConfig) -> set[str]:
    old, new = before.model_dump(), after.model_dump()
    parts = {key for key in old if old[key] != new[key]}
    inside = {
        field for key in parts & {"model", "optimizer"} for field in old[key] if old[key][field] != new[key][field]
    }
    return parts - {"model", "optimizer"} | inside


@given(CONFIGS)
def test_every_move_is_a_valid_config_with_one_knob_changed(config: TrainConfig):
    for name, move in moves(config).items():
        assert move.name == name
        assert move.knob in KNOBS
        assert len(knobs_turned(config, move.config)) == 1
        assert TrainConfig.parse(move.config.model_dump()) == move.config
        assert move.config.seed == config.seed
        assert move.config.model.extra == config.model.extra


def test_the_moves_of_a_config_in_words():
    config = TrainConfig(
        model=ModelConfig(embedding_size=8, hidden_width=64, context_length=3),
        optimizer=AdamW(learning_rate=0.01, weight_decay=0.1),
        schedule=Step(at=0.5),
        dropout=0.3,
        budget=Budget(examples=400_000),
    )
    assert {name: move.text for name, move in moves(config).items()} == {
        "wider": "widen the hidden layer from 64 to 128",
        "narrower": "make the hidden layer narrower, from 64 to 32",
        "larger embedding": "enlarge the embedding from 8 to 16",
        "smaller embedding": "make the embedding smaller, from 8 to 4",
        "longer context": "lengthen the context from 3 to 5",
        "shorter context": "shorten the context from 3 to 1",
        "more dropout": "raise dropout from 0.3 to 0.45",
        "less dropout": "lower dropout from 0.3 to 0.15",
        "more weight decay": "raise weight decay from 0.1 to 0.3",
        "less weight decay": "lower weight decay from 0.1 to 0.01",
        "higher rate": "raise the learning rate from 0.01 to 0.03",
        "lower rate": "lower the learning rate from 0.01 to 0.0033",
        "far lower rate": "lower the learning rate from 0.01 to 0.001",
        "decay": "decay the learning rate linearly to zero",
        "no decay": "keep the learning rate constant",
        "later decay": "decay the learning rate later, at 0.75 of the run rather than 0.5",
        "more steps": "train for 800,000 examples rather than 400,000",
        "fewer steps": "stop earlier: train for 200,000 examples rather than 400,000",
    }


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (TrainConfig(model=ModelConfig(hidden_width=8192, embedding_size=512, context_length=64)),
         {"wider", "larger embedding", "longer context"}),
        (TrainConfig(model=ModelConfig(hidden_width=1, embedding_size=1, context_length=2)),
         {"narrower", "smaller embedding", "shorter context"}),
        (TrainConfig(budget=Budget(steps=1)), {"fewer steps"}),
        (TrainConfig(), {"less dropout", "less weight decay", "later decay"}),
        (TrainConfig(dropout=0.9), {"more dropout"}),
        (TrainConfig(schedule=Constant()), {"no decay"}),
        (TrainConfig(schedule=Linear()), {"decay"}),
    ],
)  # fmt: skip
def test_a_move_beyond_the_bounds_or_without_a_change_is_not_offered(config: TrainConfig, missing: set[str]):
    assert not missing & moves(config).keys()


NO_HIDDEN = ModelConfig(embedding_size=16, hidden_width=0, direct_connections=True, context_length=5)


def test_a_model_without_a_hidden_layer_may_get_one_and_has_no_units_to_drop():
    found = moves(TrainConfig(model=NO_HIDDEN, dropout=0.3))
    assert found["wider"].text == "add a hidden layer of 64"
    assert found["wider"].config.model == NO_HIDDEN.model_copy(update={"hidden_width": 64})
    assert not {"narrower", "more dropout", "less dropout"} & found.keys()


def test_the_only_hidden_unit_is_not_taken_away():
    assert "narrower" not in moves(TrainConfig(model=ModelConfig(hidden_width=1, direct_connections=True)))


SIZES = {"embedding_size": 16, "hidden_width": 64, "context_length": 5}


@pytest.mark.parametrize(
    ("verdict", "changes", "evidence", "asked"),
    [
        ("diverged", {}, {}, "far lower rate"),
        ("still improving", {}, {}, "more steps"),
        ("still improving", {"schedule": Constant()}, {"jitter": 0.03}, "decay"),
        ("underfitting", {}, {}, "wider"),
        ("underfitting", {"schedule": Constant()}, {"jitter": 0.03}, "decay"),
        ("underfitting", {"schedule": Cosine()}, {"jitter": 0.03}, "wider"),  # it is decayed already
        ("underfitting", {"schedule": Constant()}, {"jitter": 0.005}, "wider"),
        ("underfitting", {"model": ModelConfig(**SIZES | {"context_length": 3})}, {}, "longer context"),
        ("underfitting", {"model": ModelConfig(**SIZES | {"embedding_size": 9})}, {}, "larger embedding"),
        ("underfitting", {"dropout": 0.2}, {}, "less dropout"),
        ("underfitting", {"dropout": 0.1}, {}, "wider"),
        ("underfitting", {"model": ModelConfig(**SIZES | {"hidden_width": 8192})}, {}, "more steps"),
        ("overfitting", {}, {}, "more weight decay"),
        ("overfitting", {"schedule": Constant()}, {}, "decay"),
        ("overfitting", {"optimizer": AdamW(weight_decay=0.1)}, {}, "more dropout"),
        ("overfitting", {"optimizer": AdamW(weight_decay=0.1), "dropout": 0.3}, {}, "fewer steps"),
        ("underfitting", {"schedule": InverseTime()}, {}, "decay"),
        ("underfitting", {"model": NO_HIDDEN}, {}, "wider"),
        ("overfitting", {"model": NO_HIDDEN, "optimizer": AdamW(weight_decay=0.1)}, {}, "fewer steps"),
        ("well fitted", {}, {}, None),
    ],
)
def test_a_verdict_leads_to_the_first_applicable_move(
    verdict: Any, changes: dict[str, Any], evidence: dict[str, float], asked: str | None
):
    config = TrainConfig(**{"model": ModelConfig(**SIZES)} | changes)
    move = advise(verdict, config, CALM | evidence)
    assert (None if move is None else move.name) == asked


@given(CONFIGS, st.sampled_from(["diverged", "still improving", "overfitting", "underfitting"]), st.floats(0, 0.1))
def test_every_verdict_but_well_fitted_comes_with_advice(config: TrainConfig, verdict: Any, jitter: float):
    assume(config.optimizer.learning_rate > 1e-300)  # a tenth of which is still a rate
    move = advise(verdict, config, CALM | {"jitter": jitter})
    one_step = config.budget.steps == 1  # nothing is left to be stopped earlier
    assert move is not None or (verdict == "overfitting" and one_step)
    if move is not None:
        assert move == moves(config)[move.name]


def test_the_lectures_recipe_gets_the_advice_that_its_lecturer_gives():
    move = advise("underfitting", lecture_recipe(), CALM)
    assert move is not None
    assert move.text == "lengthen the context from 3 to 5"
    assert move.config.model == lecture_recipe().model.model_copy(update={"context_length": 5})


def test_weight_decay_starts_at_a_value_that_has_an_effect():
    begun = {kind.kind: moves(TrainConfig(optimizer=kind))["more weight decay"] for kind in (SGD(), AdamW())}
    assert {kind: move.config.optimizer.weight_decay for kind, move in begun.items()} == {"sgd": 1e-4, "adamw": 0.1}
