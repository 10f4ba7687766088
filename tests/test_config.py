"""Configs survive JSON, have stable hashes, and refuse bad input in one line."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness import (
    SGD,
    AdamW,
    Budget,
    Cosine,
    Linear,
    ModelConfig,
    OneCycle,
    Step,
    TrainConfig,
    lecture_recipe,
)
from harness.errors import ConfigError, HarnessError
from tests.strategies import BELOW_ONE, OPTIMIZERS, POSITIVE, SCHEDULES

BUDGETS = st.one_of(
    st.builds(Budget, examples=st.integers(1, 10**12)),
    st.builds(Budget, steps=st.integers(1, 10**12)),
    st.builds(Budget, seconds=POSITIVE),
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_config_survives_json_unchanged(optimizer: str, schedule: str):
    @given(
        st.builds(
            TrainConfig,
            model=st.builds(
                ModelConfig,
                embedding_size=st.integers(1, 512),
                hidden_width=st.integers(1, 8192),
                second_width=st.integers(0, 8192),
                direct_connections=st.booleans(),
                context_length=st.integers(1, 64),
                init=st.sampled_from(["scaled", "normal"]),
            ),
            optimizer=OPTIMIZERS[optimizer],
            schedule=SCHEDULES[schedule],
            batch_size=st.integers(1, 65_536),
            dropout=BELOW_ONE,
            budget=BUDGETS,
            evaluations=st.integers(1, 1000),
            seed=st.integers(0, 2**63 - 1),
        )
    )
    def holds(config: TrainConfig) -> None:
        again = TrainConfig.parse(config.model_dump_json())
        assert again == config
        assert again.hash() == config.hash()
        assert TrainConfig.parse(config.model_dump()) == config

    holds()


def test_the_lectures_recipe_has_the_numbers_of_the_lecture():
    recipe = lecture_recipe()
    assert recipe.model == ModelConfig(embedding_size=10, hidden_width=200, context_length=3, init="normal")
    assert recipe.optimizer == SGD(learning_rate=0.1)
    assert recipe.schedule == Step(at=0.5, factor=0.1)
    assert (recipe.batch_size, recipe.budget, recipe.dropout) == (32, Budget(steps=200_000), 0.0)


def test_a_hash_is_the_same_on_every_machine():
    assert lecture_recipe().hash() == "801b783d3f64"


EXTRA = {"layers": 2, "activation": "relu", "rate": 0.5, "norm": True}


def own(extra: Any) -> TrainConfig:
    return TrainConfig(model=ModelConfig(extra=extra))


@given(
    st.dictionaries(
        st.from_regex("[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True),
        st.text().filter(str.isprintable)
        | st.booleans()
        | st.integers(1 - 2**63, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_settings_of_ones_own_survive_json_copies_and_pickles_unchanged(extra: dict[str, Any]):
    config = own(extra)
    assert config.model.extra == extra
    again = [
        TrainConfig.parse(config.model_dump_json()),
        TrainConfig.parse(config.model_dump()),
        TrainConfig.parse(config.model_dump(mode="json")),
        pickle.loads(pickle.dumps(config)),
        copy.deepcopy(config),
        config.model_copy(update={"seed": 0}),
        own(dict(reversed(extra.items()))),
        config.model_copy(update={"model": ModelConfig().model_copy(update={"extra": extra})}),
    ]
    assert {other.hash() for other in again} == {config.hash()}
    assert all(other == config for other in again)
    assert [type(value) for value in again[0].model.extra.values()] == [type(extra[name]) for name in sorted(extra)]


def test_settings_of_ones_own_are_keys_of_the_config_and_part_of_its_hash():
    config = own(EXTRA)
    keys = {key: value for key, value in config.by_key().items() if "extra" in key}
    assert keys == {f"model.extra.{name}": value for name, value in EXTRA.items()}
    assert len({own(extra).hash() for extra in (EXTRA, {**EXTRA, "layers": 3}, {"layers": 2}, {})}) == 4
    assert own({"layers": 2}).hash() == "9229a0cd3c77"


def test_a_config_without_settings_of_its_own_is_stored_as_before():
    assert own({}) == TrainConfig()
    assert own({}).hash() == TrainConfig().hash() == "3c3eb1b12301"
    assert "extra" not in TrainConfig().model_dump_json()
    assert "extra" not in TrainConfig().model_dump()["model"]


STORED = {
    "3c3eb1b12301": TrainConfig(),
    "bdabd4750e6d": TrainConfig(
        model=ModelConfig(embedding_size=24, hidden_width=256, context_length=8),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=0.1),
        schedule=Cosine(warmup=0.05),
        batch_size=1024,
        dropout=0.25,
        budget=Budget(examples=4_000_000),
        evaluations=20,
        seed=7,
    ),
    "c6e783cbb4d6": TrainConfig(
        model=ModelConfig(init="normal", extra={"layers": 2}),
        optimizer=SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Step(),
        budget=Budget(steps=100),
    ),
}
"""By the hashes that version 0.4.0 gave them."""
OFF = {"second_width": 0, "direct_connections": False}


@pytest.mark.parametrize("stored", STORED)
def test_knobs_that_are_off_leave_a_configs_hash_as_it_was(stored: str):
    config = STORED[stored]
    assert config.hash() == stored
    off = config.model_copy(
        update={
            "model": ModelConfig(**config.model.model_dump() | OFF),
            "optimizer": type(config.optimizer)(**config.optimizer.model_dump() | {"decay_biases": True}),
        }
    )
    assert off == config
    assert off.hash() == stored
    assert not {*OFF, "decay_biases"} & {key.rpartition(".")[2] for key in off.by_key()}


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("model.second_width", TrainConfig(model=ModelConfig(second_width=8))),
        ("model.direct_connections", TrainConfig(model=ModelConfig(direct_connections=True))),
        ("optimizer.decay_biases", TrainConfig(optimizer=AdamW(decay_biases=False))),
        ("optimizer.decay_biases", TrainConfig(optimizer=SGD(decay_biases=False))),
    ],
    ids=lambda value: value if isinstance(value, str) else value.optimizer.kind,
)
def test_a_knob_that_is_on_is_a_key_of_the_config_and_part_of_its_hash(key: str, config: TrainConfig):
    assert key in config.by_key()
    assert config.hash() not in {TrainConfig().hash(), TrainConfig(optimizer=SGD()).hash()}
    for again in (TrainConfig.parse(config.model_dump_json()), TrainConfig.parse(config.model_dump())):
        assert again == config
        assert again.hash() == config.hash()


def test_settings_of_ones_own_cannot_be_changed_through_the_config():
    given = dict(EXTRA)
    config = own(given)
    given["layers"] = 9
    assert config.model.extra["layers"] == 2
    with pytest.raises(TypeError):
        config.model.extra["layers"] = 3  # type: ignore[index]
    assert config.model.extra.get("depth", 1) == 1
    assert hash(config) == hash(own(EXTRA))


def test_a_float_of_numpy_is_stored_as_a_float():
    assert own({"rate": np.float64(0.5)}).model_dump() == own({"rate": 0.5}).model_dump()
    assert repr(own({"rate": np.float64(0.5)}).model.extra) == "{'rate': 0.5}"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"dropout": 0.1},
        {"model": ModelConfig(hidden_width=201)},
        {"optimizer": SGD()},
        {"schedule": Linear()},
        {"budget": Budget(steps=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_configs_that_differ_have_other_hashes(change: dict[str, Any]):
    assert TrainConfig(**change).hash() != TrainConfig().hash()


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (TrainConfig(), "batch_size"),
        (ModelConfig(), "hidden_width"),
        (SGD(), "learning_rate"),
        (Cosine(), "warmup"),
        (Budget(steps=1), "steps"),
    ],
)
def test_a_config_is_frozen(config: Any, key: str):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, key, 3)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # unknown keys, at every depth, from Python and from JSON
        (lambda: TrainConfig(batchsize=3), ["'batchsize'", "Did you mean 'batch_size'?"]),
        (lambda: TrainConfig.parse({"model": {"hiden_width": 3}}), ["'hiden_width'", "Did you mean 'hidden_width'?"]),
        (
            lambda: TrainConfig.parse('{"optimizer": {"kind": "adamw", "learning_rte": 0.1}}'),
            ["'learning_rte'", "Did you mean 'learning_rate'?"],
        ),
        (lambda: Cosine(warmpu=0.1), ["'warmpu'", "Did you mean 'warmup'?"]),
        # these wrong keys happen to be the tags of schedules
        (lambda: Budget(step=100), ["'step'", "Did you mean 'steps'?"]),
        (lambda: TrainConfig(cosine=True), ["'cosine'", "known here: model, optimizer, schedule"]),
        # out of range
        (lambda: TrainConfig(batch_size=0), ["batch_size", "greater than or equal to 1", "got 0"]),
        (lambda: TrainConfig(dropout=1.0), ["dropout", "less than 1", "got 1.0"]),
        (lambda: TrainConfig(evaluations=0), ["evaluations", "got 0"]),
        (lambda: TrainConfig(seed=-1), ["seed", "got -1"]),
        (lambda: ModelConfig(context_length=65), ["context_length", "less than or equal to 64", "got 65"]),
        (lambda: AdamW(learning_rate=0), ["learning_rate", "greater than 0", "got 0"]),
        (lambda: SGD(momentum=1.0), ["momentum", "less than 1", "got 1.0"]),
        (lambda: Step(at=1.5), ["at ", "less than 1", "got 1.5"]),
        (lambda: OneCycle(start_divisor=0.5), ["start_divisor", "got 0.5"]),
        (lambda: TrainConfig.parse('{"model": {"embedding_size": 0}}'), ["embedding_size", "got 0"]),
        (lambda: Budget(seconds=-1.5), ["seconds", "greater than 0", "got -1.5"]),
        # not a finite number
        (lambda: AdamW(learning_rate=float("nan")), ["learning_rate", "finite number", "got nan"]),
        (lambda: TrainConfig(optimizer={"kind": "sgd", "learning_rate": float("inf")}), ["learning_rate", "got inf"]),
        (lambda: TrainConfig.parse('{"dropout": NaN}'), ["dropout", "finite number", "got nan"]),
        # of the wrong kind
        (lambda: TrainConfig(batch_size="many"), ["batch_size", "valid integer", "'many'"]),
        (lambda: Budget(examples=3.5), ["examples", "valid integer", "3.5"]),
        (lambda: ModelConfig(init="xavier"), ["init", "'scaled' or 'normal'", "'xavier'"]),
        (lambda: TrainConfig(model=3), ["model", "got 3"]),
        (lambda: TrainConfig.parse({"optimizer": {"kind": "adam"}}), ["optimizer", "'adam'", "'sgd', 'adamw'"]),
        (lambda: TrainConfig.parse({"schedule": {"warmup": 0.1}}), ["schedule", "'kind'", "{'warmup': 0.1}"]),
        # budgets
        (lambda: Budget(), ["exactly one of examples, steps, seconds", "got none"]),
        (
            lambda: Budget(steps=1, examples=2),
            ["exactly one of examples, steps, seconds", "got ['examples', 'steps']"],
        ),
        (lambda: TrainConfig.parse('{"budget": {}}'), ["exactly one of examples, steps, seconds", "got none"]),
        # settings of a model of one's own
        (lambda: ModelConfig(extra={"two words": 1}), ["extra must have names made of", "'two words'"]),
        (lambda: ModelConfig(extra={"1st": 1}), ["got '1st'"]),
        (lambda: ModelConfig(extra={"größe": 1}), ["got 'größe'"]),
        (lambda: ModelConfig(extra={3: 1}), ["got 3"]),
        (lambda: ModelConfig(extra={"layers": None}), ["one line of text, finite numbers or bools", "layers=None"]),
        (lambda: ModelConfig(extra={"layers": [1, 2]}), ["layers=[1, 2]"]),
        (lambda: ModelConfig(extra={"layers": {"a": 1}}), ["layers={'a': 1}"]),
        (lambda: ModelConfig(extra={"rate": float("inf")}), ["rate=inf"]),
        (lambda: ModelConfig(extra={"layers": 2**63}), ["layers=9223372036854775808"]),
        (lambda: ModelConfig(extra={"name": "two\nlines"}), [r"'two\nlines'"]),
        (lambda: ModelConfig(extra={"name": "\ud800"}), [r"'\ud800'"]),
        (lambda: ModelConfig(extra=3), ["extra must be a dict", "got 3"]),
        (lambda: TrainConfig.parse('{"model": {"extra": {"rate": NaN}}}'), ["rate=nan"]),
        (lambda: ModelConfig(layers=2), ["'layers'", "A setting of your own model goes into extra"]),
        # knobs that need one another
        (lambda: ModelConfig(hidden_width=0), ["must have direct_connections=True", "got hidden_width=0"]),
        (
            lambda: ModelConfig(hidden_width=0, second_width=3, direct_connections=True),
            ["must have a first hidden layer", "got hidden_width=0, second_width=3"],
        ),
        (lambda: ModelConfig(second_width=-1), ["second_width", "greater than or equal to 0", "got -1"]),
        # JSON
        (lambda: TrainConfig.parse("{batch_size: 3}"), ["JSON", "'{batch_size: 3}'"]),
        (lambda: TrainConfig.parse("[3]"), ["TrainConfig", "object", "[3]"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_one_line_that_names_key_and_value(make: Any, expected: list[str]):
    with pytest.raises(ConfigError) as refusal:
        make()
    message = str(refusal.value)
    assert [part for part in expected if part not in message] == [], message
    assert "\n" not in message


def test_a_refused_config_is_a_harness_error():
    with pytest.raises(HarnessError):
        TrainConfig(batch_size=0)


@pytest.mark.parametrize(
    ("budget", "batch_size", "steps"),
    [
        (Budget(examples=4_000_000), 1024, 3906),
        (Budget(examples=1000), 300, 3),
        (Budget(examples=10), 1024, 1),
        (Budget(steps=77), 1024, 77),
        (Budget(seconds=2.5), 1024, None),
    ],
)
def test_a_budget_in_steps_or_examples_fixes_the_steps_of_a_run(budget: Budget, batch_size: int, steps: int | None):
    assert budget.total_steps(batch_size) == steps
