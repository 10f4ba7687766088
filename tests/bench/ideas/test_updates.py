"""Averages of weights and other optimisers, against plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness import SGD, AdamW, Constant, Corpus, ModelConfig, TrainConfig, train
from harness.bench.ideas.updates import Averaged, Updated
from harness.config import Budget
from harness.errors import ConfigError
from harness.model import Build, CharMLP, check_build
from harness.train import stream

STEPS = 12


def config_of(optimizer: SGD | AdamW | None = None, evaluations: int = 1, **extra: Any) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(embedding_size=3, hidden_width=9, context_length=3, extra=extra),
        optimizer=optimizer or SGD(learning_rate=0.1),
        schedule=Constant(),
        batch_size=64,
        budget=Budget(steps=STEPS),
        evaluations=evaluations,
    )


def weights_after(corpus: Corpus, steps: int) -> Tensor:
    """The trained weights of the built-in model after some steps of the same run."""
    config = config_of().model_copy(update={"budget": Budget(steps=steps)})
    return train(config, corpus).model.parameters.clone()


def trained(corpus: Corpus, config: TrainConfig, build: Build) -> Any:
    return train(config, corpus, build=build).model


@pytest.mark.parametrize("evaluations", [1, 4])
def test_a_tail_average_is_the_mean_of_the_weights_after_the_last_steps(small_corpus: Corpus, evaluations: int):
    model = trained(small_corpus, config_of(evaluations=evaluations, tail=0.25), Averaged.build)
    last = [weights_after(small_corpus, step) for step in range(STEPS - 2, STEPS + 1)]
    torch.testing.assert_close(model._average, torch.stack(last).mean(0))
    torch.testing.assert_close(model.parameters, last[-1])


@pytest.mark.parametrize("evaluations", [1, 4])
def test_a_moving_average_begins_with_a_smaller_decay(small_corpus: Corpus, evaluations: int):
    model = trained(small_corpus, config_of(evaluations=evaluations, decay=0.5), Averaged.build)
    average = CharMLP.build(config_of(), small_corpus.vocabulary_size, stream(0, "init")).parameters
    for step in range(1, STEPS + 1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights_after(small_corpus, step)
    torch.testing.assert_close(model._average, average)


def test_the_average_predicts_and_is_what_is_saved(small_corpus: Corpus):
    model = trained(small_corpus, config_of(tail=0.5), Averaged.build)
    plain = CharMLP(config_of().model, small_corpus.vocabulary_size)
    plain.parameters.copy_(model._average)
    contexts = small_corpus.counts("dev", 3).contexts[:5]
    torch.testing.assert_close(model.log_probabilities(contexts), plain.log_probabilities(contexts))
    assert all(torch.equal(tensor, plain.tensors()[name]) for name, tensor in model.tensors().items())


@pytest.mark.parametrize("extra", [{}, {"decay": 0.9, "tail": 0.5}])
def test_an_average_needs_exactly_one_setting(extra: dict[str, float]):
    with pytest.raises(ConfigError, match="exactly one of decay, tail"):
        Averaged.build(config_of(**extra), 27, stream(0, "init"))


def test_a_tail_of_a_run_by_the_clock_is_refused():
    config = config_of(tail=0.5).model_copy(update={"budget": Budget(seconds=1)})
    with pytest.raises(ConfigError, match="must know the steps"):
        Averaged.build(config, 27, stream(0, "init"))


def test_lion_keeps_to_the_contract_of_a_users_own_model():
    check_build(Updated.build, config_of(update="lion"), 11, stream(0, "init"))


@pytest.mark.parametrize("extra", [{"decay": 0.99}, {"tail": 0.5}])
def test_averages_keep_to_the_contract_of_a_users_own_model(extra: dict[str, Any]):
    check_build(Averaged.build, config_of(**extra), 11, stream(0, "init"))


def gradients(corpus: Corpus, config: TrainConfig, build: Build, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The gradient of every step before the update replaces it."""
    seen: list[Tensor] = []
    replace = Updated._replace

    def note(model: Updated) -> None:
        seen.append(model.gradient.clone())
        replace(model)

    monkeypatch.setattr(Updated, "_replace", note)
    train(config, corpus, build=build)
    return seen


def test_lion_steps_by_the_sign_of_an_interpolated_mean(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    config = config_of(SGD(learning_rate=0.01), update="lion", beta1=0.9, beta2=0.99, weight_decay=0.5)
    found = gradients(small_corpus, config, Updated.build, monkeypatch)
    weights = CharMLP.build(config_of(), small_corpus.vocabulary_size, stream(0, "init")).parameters
    mean = torch.zeros_like(weights)
    for g in found:
        weights = weights - 0.01 * (torch.sign(0.9 * mean + 0.1 * g) + 0.5 * weights)
        mean = 0.99 * mean + 0.01 * g
    torch.testing.assert_close(trained(small_corpus, config, Updated.build).parameters, weights)


def test_an_unknown_update_is_refused():
    with pytest.raises(ConfigError, match="update must be lion; got 'sofia'"):
        Updated.build(config_of(update="sofia"), 27, stream(0, "init"))
