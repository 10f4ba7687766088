"""What build may return: every breach of the contract is one line, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import Autograd, CharMLP, Corpus, ModelConfig, TrainConfig, lr_range, overfit_one_batch, train, train_seeds
from harness.errors import ConfigError
from harness.model import check_build, check_model, fixed_contexts, fresh_model
from tests.strategies import build_plain

V, CONFIG = 11, TrainConfig(model=ModelConfig(embedding_size=4, hidden_width=8, context_length=3))
Forward = Callable[[nn.Module, Tensor], Any]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Module(nn.Module):
    """One hidden layer; `after` changes its logits, given the module and its contexts."""

    def __init__(self, after: Callable[[Any, Tensor, Tensor], Any] = lambda _module, _contexts, logits: logits) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Embedding(V, 4), nn.Flatten(), nn.Linear(12, V))
        self.after, self.calls, self.mean = after, 0, torch.zeros(V)

    def forward(self, contexts: Tensor) -> Any:
        self.calls += 1
        return self.after(self, contexts, self.body(contexts))


def wrapped(after: Callable[[Any, Tensor, Tensor], Any]) -> Autograd:
    return Autograd(Module(after))


class Own(CharMLP):
    """A model of one's own without torch modules; `after` changes its log probabilities."""

    after: Callable[[Tensor], Any] = staticmethod(lambda log_p: log_p)

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        found: Tensor = self.after(super().log_probabilities(contexts))
        return found


def own(after: Callable[[Tensor], Any] = lambda log_p: log_p, **changes: Any) -> Own:
    model = Own.build(CONFIG, V, seeded())
    model.after = after  # type: ignore[method-assign]
    for name, value in changes.items():
        setattr(model, name, value)
    return model


def refusal(model: object) -> str:
    before = torch.random.get_rng_state()
    with pytest.raises(ConfigError) as refused:
        check_model(model, CONFIG, V)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        # not a model
        (lambda: Module(), "not a bare torch module; got Module. Return Autograd(module)"),
        (lambda: None, "got NoneType, which lacks parameters, gradient, loss_and_gradient"),
        (lambda: Autograd, "got type, which lacks parameters, gradient"),
        (
            lambda: SimpleNamespace(**{**vars(own()), "log_probabilities": len, "tensors": dict, "to": str}),
            "got SimpleNamespace, which lacks loss_and_gradient",
        ),
        # another shape
        (lambda: wrapped(lambda _m, c, _out: torch.zeros(*c.shape, V)), "Module returned (32, 3, 11)"),
        (lambda: wrapped(lambda _m, _c, out: out[:, :-1]), "(B, V) = (32, 11), one row per context"),
        (lambda: own(lambda log_p: log_p[:, None]), "got (32, 1, 11)"),
        (lambda: own(lambda log_p: log_p.t()), "got (11, 32)"),
        (lambda: own(lambda log_p: log_p.numpy()), "got ndarray"),
        (
            lambda: wrapped(lambda _m, _c, out: out.view(32, V)),
            "any batch size; for shape (16, 3) it raises Runt",
        ),
        (lambda: wrapped(lambda _m, _c, out: out.squeeze()), "for contexts of shape (B, T) = (1, 3)"),
        (lambda: Autograd(nn.Sequential(nn.Embedding(V - 1, 4), nn.Flatten(), nn.Linear(12, V))), "raises IndexError"),
        # other values
        (lambda: own(lambda log_p: log_p * float("nan")), "must be finite; 352 of 352 are not"),
        (lambda: own(lambda log_p: log_p.index_fill(1, torch.tensor([3]), -torch.inf)), "32 of 352 are not"),
        (lambda: own(lambda log_p: log_p + 1), "the logs of the sums are 1 to 1 and must be 0"),
        (lambda: own(torch.exp), "the logs of the sums are 2.49 to 2.49"),
        (lambda: own(lambda log_p: log_p / 0.6931), "exponentials sum to 1 in every row"),
        (
            lambda: wrapped(lambda _m, _c, out: out.softmax(1)),
            "must return logits; its rows are probabilities",
        ),
        # not a function of each context
        (lambda: wrapped(lambda _m, _c, out: nn.functional.dropout(out, 0.1)), "two evaluations of the same"),
        (lambda: wrapped(lambda m, _c, out: out + m.calls * torch.arange(V)), "two evaluations of the same"),
        (
            lambda: wrapped(lambda _m, _c, out: out / (1 + out.var(0, correction=0))),
            "depend on the other contexts of a batch",
        ),
        (lambda: wrapped(lambda _m, _c, out: out - out.mean(0)), "depend on the other contexts of a batch"),
        (lambda: Autograd(normalised(track_running_stats=False)), "depend on the other contexts of a batch"),
        (lambda: wrapped(lambda _m, c, out: (c.zero_(), out)[1]), "it writes into them"),
        # the step
        (lambda: own(loss_and_gradient=lambda *_, **__: torch.zeros(32)), "one finite number; got shape (32,)"),
        (lambda: own(loss_and_gradient=lambda *_, **__: torch.tensor(torch.nan)), "one finite number; got nan"),
        (lambda: own(loss_and_gradient=lambda _contexts: 0.0), "loss_and_gradient must accept .* raises TypeError"),
        (lambda: own(gradient=torch.zeros(2, 3)), "of one shape (P,); got (247,) and (2, 3)"),
    ],
)
def test_a_breach_of_the_contract_is_one_line(make: Callable[[], object], line: str):
    found = refusal(make())
    assert all(part in found for part in line.split(" .* ")), found


@pytest.mark.parametrize(
    "build",
    [CharMLP.build, build_plain, Own.build, lambda *_: Autograd(Module()), lambda *_: Autograd(normalised())],
    ids=["CharMLP", "PlainMLP", "subclass", "module", "BatchNorm"],
)
def test_a_model_within_the_contract_keeps_its_weights_and_torchs_random_state(build: Any):
    model = fresh_model(build, CONFIG, V, seeded(5))
    before, state = {name: t.clone() for name, t in model.tensors().items()}, torch.random.get_rng_state()
    log_p = check_model(model, CONFIG, V)
    assert log_p.shape == (32, V)
    assert log_p.exp().sum(1).tolist() == pytest.approx([1.0] * 32, abs=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.tensors().items())
    assert bool((model.gradient == 0).all())
    assert torch.equal(check_build(build, CONFIG, V, seeded(5)), log_p)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_with_huge_logits_passes():
    config = TrainConfig(model=ModelConfig(embedding_size=64, hidden_width=2048, context_length=2, init="normal"))
    assert float(check_build(CharMLP.build, config, V, seeded()).min()) < -100


def test_the_fixed_contexts_are_the_same_on_every_machine():
    contexts = fixed_contexts(27, 4)
    assert (contexts.shape, contexts.dtype) == ((32, 4), torch.int64)
    assert contexts[:3].tolist() == [[26, 9, 20, 24], [25, 24, 25, 10], [0, 0, 0, 20]]
    assert 8 <= int((contexts[:, 0] == 0).sum()) <= 24
    assert (int(contexts.min()), int(contexts.max())) == (0, 26)


def normalised(**options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Embedding(V, 4), nn.Flatten(), nn.BatchNorm1d(12, **options), nn.Linear(12, V))


# What a stored file cannot restore


def running_mean(module: Any, _contexts: Tensor, logits: Tensor) -> Tensor:
    """State in a plain attribute, which no file holds."""
    if module.training:
        module.mean = 0.9 * module.mean + 0.1 * logits.detach().mean(0)
    return logits - module.mean


def with_lazy_buffer(module: Any, _contexts: Tensor, logits: Tensor) -> Tensor:
    if module.training and not hasattr(module, "late"):
        module.register_buffer("late", torch.ones(V))
    return logits


def random_features(*_: Any) -> Autograd:
    module = Module(lambda m, _c, logits: logits + m.noise)
    module.register_buffer("noise", torch.randn(V), persistent=False)
    return Autograd(module)


class Copied(CharMLP):
    """Its tensors are not views, so that nothing can be loaded into it."""

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in super().tensors().items()}


def copied(config: TrainConfig, size: int, generator: torch.Generator) -> Copied:
    model = Copied(config.model, size)
    model.parameters.normal_(generator=generator)
    return model


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda *_: Autograd(Module(running_mean)), "must predict the same once its tensors() are loaded"),
        (random_features, "must predict the same once its tensors() are loaded"),
        (copied, "must predict the same once its tensors() are loaded"),
        (lambda *_: Autograd(Module(with_lazy_buffer)), "the same tensors for every seed, before and after training"),
    ],
    ids=["plain attribute", "random features", "copies", "buffer made in training"],
)
def test_a_model_that_its_stored_tensors_cannot_restore_is_refused(build: Any, line: str):
    with pytest.raises(ConfigError) as refused:
        check_build(build, CONFIG, V, seeded())
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


# The same lines from a script


@pytest.mark.parametrize("use", [train, lambda *a, **k: train_seeds(*a, [1, 2], **k), lr_range, overfit_one_batch])
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda size: nn.Sequential(nn.Embedding(size, 4), nn.Flatten(), nn.Linear(12, size)), "Return Autograd"),
        (lambda size: Autograd(nn.Sequential(nn.Embedding(size, 4), nn.Linear(4, size))), r"returned \(32, 3, \d+\)"),
        (lambda size: Autograd(nn.Sequential(nn.Embedding(size, 4), nn.Flatten(), nn.Linear(12, 99))), r"got \(32, 99"),
    ],
    ids=["module", "(B, T, V)", "(B, 99)"],
)
def test_a_script_gets_the_line_before_training(
    small_corpus: Corpus, tiny_config: Callable[..., TrainConfig], use: Any, make: Any, line: str
):
    with pytest.raises(ConfigError, match=line):
        use(tiny_config(), small_corpus, build=lambda _config, size, _generator: make(size))


def test_a_build_that_fails_keeps_its_own_reason(small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]):
    def build(config: TrainConfig, _size: int, _generator: torch.Generator) -> Any:
        return config.model.extra["layers"]

    with pytest.raises(KeyError, match="layers"):
        train(tiny_config(), small_corpus, build=build)
    with pytest.raises(KeyError, match="layers"):
        check_build(build, CONFIG, V, seeded())
