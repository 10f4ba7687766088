"""A module as a model: its buffers, its frozen parameters, what it returns, and what cannot be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import AdamW, Autograd, Corpus, TrainConfig, stream, train
from harness.errors import ConfigError
from harness.model import Ensemble, load_tensors
from harness.train.optimizer import make_optimizer

MakeConfig = Callable[..., TrainConfig]
CONTEXTS, TARGETS = torch.randint(27, (64, 3), generator=stream(0, "init")), torch.arange(64) % 27


def embedded(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Embedding(27, 8), nn.Flatten(), *layers)


def normalised() -> nn.Sequential:
    return embedded(nn.Linear(24, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 27))


def step(model: Autograd, times: int = 1) -> float:
    return [float(model.loss_and_gradient(CONTEXTS, TARGETS, generator=stream(0, "dropout"))) for _ in range(times)][-1]


def copies(model: Autograd) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.tensors().items()}


# Buffers


def test_running_statistics_are_saved_and_restored_with_the_weights():
    trained, fresh = Autograd(normalised()), Autograd(normalised())
    step(trained, 7)
    saved = copies(trained)
    assert list(saved)[-3:] == ["3.running_mean", "3.running_var", "3.num_batches_tracked"]
    assert (saved["3.num_batches_tracked"].dtype, saved["3.num_batches_tracked"].item()) == (torch.int64, 7)
    load_tensors(fresh, saved)
    assert torch.equal(fresh.log_probabilities(CONTEXTS), trained.log_probabilities(CONTEXTS))
    assert fresh.module[3].num_batches_tracked.item() == 7


def test_running_statistics_are_not_trained():
    model = Autograd(normalised())
    assert model.parameters.numel() == sum(p.numel() for p in model.module.parameters()) == 1107


class Replacing(nn.Module):
    """Replaces a buffer's tensor in each step, and has another buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.body = embedded(nn.Linear(24, 27))
        self.register_buffer("seen", torch.tensor(0.0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_buffer("nothing", None)
        self.register_buffer("wide", torch.arange(27.0).expand(4, 27))
        self.seen: Tensor
        self.wide: Tensor

    def forward(self, contexts: Tensor) -> Tensor:
        if self.training:
            self.seen = self.seen + 1
        return self.body(contexts) + self.seen * self.wide[0]


def test_a_buffer_is_read_from_the_module_whenever_it_is_saved():
    trained, fresh = Autograd(Replacing()), Autograd(Replacing())
    step(trained, 2)
    saved = copies(trained)
    assert saved["seen"].item() == 2
    assert {"scratch", "nothing"}.isdisjoint(saved)
    load_tensors(fresh, saved)
    assert torch.equal(fresh.log_probabilities(CONTEXTS), trained.log_probabilities(CONTEXTS))


def test_buffers_move_to_a_device_with_the_weights():
    model = Autograd(normalised())
    model.to("meta")
    assert {str(tensor.device) for tensor in model.tensors().values()} == {"meta"}
    assert model.parameters.device.type == "meta"


def test_no_buffer_can_have_the_name_of_a_parameter():
    module = nn.Linear(2, 2)
    with pytest.raises(KeyError, match="already exists"):
        module.register_buffer("weight", torch.zeros(2))


def test_an_ensemble_has_the_statistics_of_each_model():
    models = [Autograd(normalised()) for _ in range(2)]
    assert {"0.3.running_var", "1.3.running_var"} <= Ensemble(models).tensors().keys()


def test_a_trained_module_with_statistics_scores_the_same_once_restored(small_corpus: Corpus, tiny_config: MakeConfig):
    V = small_corpus.vocabulary_size

    def build(_config: TrainConfig, _size: int, _generator: torch.Generator) -> Autograd:
        return Autograd(nn.Sequential(nn.Embedding(V, 4), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, V)))

    result = train(tiny_config(), small_corpus, build=build)
    restored = build(tiny_config(), V, stream(1, "init"))
    load_tensors(restored, {name: tensor.clone() for name, tensor in result.model.tensors().items()})
    contexts = small_corpus.examples("dev", 3).contexts
    assert torch.equal(restored.log_probabilities(contexts), result.model.log_probabilities(contexts))


# Tied and frozen parameters


def test_tied_weights_are_one_parameter_and_stay_tied():
    module = embedded(nn.Linear(24, 8), nn.Linear(8, 27))
    module[3].weight = module[0].weight
    model = Autograd(module)
    assert model.parameters.numel() == 27 * 8 + 24 * 8 + 8 + 27
    model.to("cpu")
    with torch.no_grad():
        model.parameters.fill_(0.5)
    assert module[3].weight is module[0].weight
    assert bool((module[3].weight == 0.5).all())


def frozen_embedding() -> Autograd:
    module = embedded(nn.Linear(24, 27))
    module[0].weight.requires_grad_(False)
    return Autograd(module)


def test_a_frozen_parameter_is_saved_but_neither_trained_nor_counted_nor_decayed():
    model = frozen_embedding()
    before = copies(model)
    assert model.parameters.numel() == 24 * 27 + 27
    optimizer = make_optimizer(model, AdamW(weight_decay=10.0))
    for _ in range(5):
        step(model)
        optimizer.step(0.01)
    after = model.tensors()
    assert after.keys() == before.keys() == {"0.weight", "2.weight", "2.bias"}
    assert torch.equal(after["0.weight"], before["0.weight"])
    assert float(after["2.weight"].norm()) < 0.9 * float(before["2.weight"].norm())
    other = frozen_embedding()
    load_tensors(other, copies(model))
    assert torch.equal(other.log_probabilities(CONTEXTS), model.log_probabilities(CONTEXTS))


def test_what_is_frozen_after_wrapping_is_not_trained_either():
    module = embedded(nn.Linear(24, 27))
    model = Autograd(module)
    module[0].weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="frozen before Autograd wraps the module"):
        step(model)
    model.to("cpu")  # as train() does first
    assert model.parameters.numel() == 24 * 27 + 27
    step(model)


def refused(module: Any) -> str:
    with pytest.raises(ConfigError) as refusal:
        Autograd(module)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_what_cannot_be_trained_is_refused():
    assert "must have parameters to train; got none" in refused(nn.Flatten())
    assert "got 3, all of them frozen" in refused(embedded(nn.Linear(24, 27)).requires_grad_(False))
    assert "one type; got float32, float64" in refused(embedded(nn.Linear(24, 27).double()))
    assert "must wrap a torch.nn.Module; got type" in refused(nn.Flatten)


class Sometimes(nn.Module):
    """Skips its second layer with a given chance in training, and evaluates both."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.first, self.second, self.chance = embedded(nn.Linear(24, 27)), nn.Linear(27, 27), chance

    def forward(self, contexts: Tensor) -> Tensor:
        logits = self.first(contexts)
        if self.chance == 1 or (self.training and float(torch.rand(())) < self.chance):
            return logits
        return self.second(logits)


def test_a_parameter_that_the_loss_never_uses_is_refused_and_one_that_it_skips_at_times_is_not():
    """torch would leave it as it is, while weight decay here would shrink it, and tables would count it."""
    with pytest.raises(ConfigError, match=r"take part in the loss; second\.weight, second\.bias of Sometimes"):
        step(Autograd(Sometimes(1)))
    model = Autograd(Sometimes(0.8))
    step(model, 3)
    assert model.parameters.numel() == 27 * 8 + 24 * 27 + 27 + 27 * 27 + 27


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = embedded(nn.Linear(24, 27))

    @torch.no_grad()
    def forward(self, contexts: Tensor) -> Tensor:
        return self.body(contexts)


def test_a_module_without_any_gradient_is_refused():
    with pytest.raises(ConfigError, match=r"take part in the loss; body\.0\.weight"):
        step(Autograd(Detached()))


# What a module returns


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = embedded(nn.Linear(24, 27))

    def forward(self, contexts: Tensor) -> tuple[Tensor, None]:
        return self.body(contexts), None


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (
            nn.Sequential(nn.Embedding(27, 8), nn.Linear(8, 27)),
            r"Sequential returned \(64, 3, 27\).*\[:, -1",
        ),
        (embedded(nn.Linear(24, 27), nn.Flatten(0)), r"Sequential returned \(1728,\)"),
        (Pair(), "tensor of logits .* Pair returned tuple. Return the logits alone"),
    ],
    ids=["(B, T, V)", "(B * V,)", "tuple"],
)
def test_anything_but_a_row_of_logits_per_context_is_refused_in_one_line(module: nn.Module, line: str):
    model = Autograd(module)
    for use in (lambda: step(model), lambda: model.log_probabilities(CONTEXTS)):
        with pytest.raises(ConfigError, match=line) as refusal:
            use()
        assert "\n" not in str(refusal.value)
