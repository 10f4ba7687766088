"""The bench's contenders train the same model on the same problem as ours, each in its own way."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness import SGD, AdamW, CharMLP, Corpus, ModelConfig
from harness.bench import contenders
from harness.bench.contenders import Problem, RawLoop, Steps
from harness.bench.jax_loop import jax_loop, loss_in_jax
from harness.model import load_tensors
from harness.train.optimizer import make_optimizer

NAMES = ("embedding", "w1", "b1", "w2", "b2")
FAST = 0.3
"""The bench's rate for SGD is for timing; at this one 300 steps are enough to learn something."""


def problem_of(corpus: Corpus, optimizer: str = "sgd", examples: slice = slice(None)) -> Problem:
    every = corpus.examples("train", 3)
    return Problem(16, 3, 4, 32, optimizer, every.contexts[examples], every.targets[examples], corpus.vocabulary_size)


def model_with(problem: Problem, weights: dict[str, Tensor]) -> CharMLP:
    shape = ModelConfig(embedding_size=problem.embedding_size, hidden_width=32, context_length=problem.context_length)
    model = CharMLP(shape, problem.vocabulary_size)
    views = model.tensors()
    load_tensors(model, {name: weights[name].detach().view(views[name].shape) for name in NAMES})
    return model


def named(loop: RawLoop) -> dict[str, Tensor]:
    return dict(zip(NAMES, loop.weights, strict=True))


def loss_of(problem: Problem, weights: dict[str, Tensor]) -> float:
    return F.cross_entropy(model_with(problem, weights).logits(problem.contexts), problem.targets).item()


def trained(model: CharMLP, optimizer: SGD | AdamW, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    made = make_optimizer(model, optimizer)
    for contexts, targets in batches:
        model.loss_and_gradient(contexts, targets, generator=torch.Generator())
        made.step(optimizer.learning_rate)
    return model.parameters


def test_three_steps_of_the_raw_loop_are_three_steps_of_our_gradient(small_corpus: Corpus):
    problem, generator = problem_of(small_corpus), torch.Generator().manual_seed(1)
    loop = RawLoop(problem, generator)
    model, draws = model_with(problem, named(loop)), generator.clone_state()
    chosen = [torch.randint(0, len(problem.contexts), (16,), generator=draws) for _ in range(3)]
    before = model.parameters.clone()
    loop.run(3, 0.1)
    expected = trained(model, SGD(learning_rate=0.1), [(problem.contexts[c], problem.targets[c]) for c in chosen])
    torch.testing.assert_close(model_with(problem, named(loop)).parameters, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-2)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_raw_loop_learns(small_corpus: Corpus, optimizer: str):
    problem = problem_of(small_corpus, optimizer)
    loop = RawLoop(problem, torch.Generator().manual_seed(0))
    before = loss_of(problem, named(loop))
    loop.run(300, 0.1)
    assert loss_of(problem, named(loop)) < 0.8 * before


def test_the_raw_loop_takes_the_steps_asked_for_at_the_optimisers_rate(
    small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
):
    taken: list[tuple[int, float]] = []
    monkeypatch.setattr(RawLoop, "run", lambda _, n, rate: taken.append((n, rate)))
    for optimizer in ("sgd", "adamw"):
        contenders.raw_loop(problem_of(small_corpus, optimizer))(7)
    assert taken == [(7, 0.01), (7, 1e-3)]


@pytest.fixture
def _fast_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contenders.RATE, "sgd", FAST)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The PlainMLPs that contenders make in a test, each with the batches it has been through."""
    models: list[Any] = []

    class Watched(contenders.PlainMLP):
        def __init__(self, problem: Problem) -> None:
            super().__init__(problem)
            self.batches: list[Tensor] = []
            models.append(self)

        def forward(self, contexts: Tensor) -> Tensor:
            self.batches.append(contexts)
            return super().forward(contexts)

    monkeypatch.setattr(contenders, "PlainMLP", Watched)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield models


@pytest.mark.usefixtures("_fast_sgd")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("make", [contenders.module_loop, contenders.loader_loop])
def test_a_module_learns_in_exactly_the_steps_asked_for(small_corpus: Corpus, made: list[Any], make: Any, optimizer):
    problem = problem_of(small_corpus, optimizer)
    take = make(problem)
    (model,) = made
    before = F.cross_entropy(model(problem.contexts), problem.targets).item()
    model.batches.clear()
    take(100)
    take(200)
    assert [tuple(batch.shape) for batch in model.batches] == [(16, 3)] * 300
    after = F.cross_entropy(model(problem.contexts), problem.targets).item()
    assert before > 0.95 * math.log(problem.vocabulary_size)
    assert after < before - 0.3


def test_the_contenders_drop_the_hidden_units_that_a_problem_asks_for(small_corpus: Corpus, made: list[Any]):
    problem = replace(problem_of(small_corpus), dropout=0.4)
    assert problem.label.endswith(", sgd, dropout 0.4")
    contenders.module_loop(problem)(3)
    (model,) = made
    hidden = model.dropout(torch.ones(100, 1000))
    assert (hidden == 0).double().mean().item() == pytest.approx(0.4, abs=0.01)
    assert model.eval()(problem.contexts).equal(model(problem.contexts))
    with_and_without = []
    for dropout in (0.0, 0.4):
        loop = RawLoop(replace(problem, dropout=dropout), torch.Generator().manual_seed(0))
        loop.run(5, 0.1)
        with_and_without.append(loop.weights[3])
    assert not torch.allclose(*with_and_without, atol=1e-3)


@pytest.mark.usefixtures("made")
def test_a_module_is_the_same_model_as_ours(small_corpus: Corpus):
    problem = problem_of(small_corpus)
    theirs = contenders.PlainMLP(problem)
    weights = dict(zip(NAMES, theirs.parameters(), strict=True))
    weights |= {"w1": weights["w1"].t().contiguous(), "w2": weights["w2"].t()}
    torch.testing.assert_close(model_with(problem, weights).logits(problem.contexts), theirs(problem.contexts))


def test_without_a_compiler_the_compiled_module_says_so(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(RuntimeError, match=r"no C\+\+ compiler found"):
        contenders.compiled_loop(problem_of(small_corpus))


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def in_jax(request: pytest.FixtureRequest, small_corpus: Corpus) -> Iterator[tuple[Problem, Steps]]:
    """A problem and its jax_loop, compiled once for steps(3)."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX comes with the extra `bench`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(contenders.RATE, "sgd", FAST)
        patch.setenv("JAX_PLATFORMS", "cpu")  # set here, they are unset afterwards
        patch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
        problem = problem_of(small_corpus, request.param)
        yield problem, jax_loop(problem)


def inside(take: Steps) -> tuple[dict[str, Tensor], Any]:
    """Copies of the weights inside a jax_loop, which hands out nothing but its steps, and its key."""
    held = inspect.getclosurevars(take).nonlocals["held"]
    weights = held["state"] if isinstance(held["state"], dict) else held["state"][0]
    return {name: torch.tensor(weight.tolist()) for name, weight in weights.items()}, held["key"]


@pytest.mark.filterwarnings("ignore")  # those of JAX itself
def test_dropout_in_jax_drops_hidden_units_at_random(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    random = pytest.importorskip("jax.random", reason="JAX comes with the extra `bench`")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    problem = problem_of(small_corpus)
    weights = named(RawLoop(problem, torch.Generator().manual_seed(0)))
    arrays = {name: weight.detach().numpy() for name, weight in weights.items()}
    chosen, keys = torch.arange(problem.batch_size).numpy(), [random.PRNGKey(seed) for seed in range(3)]
    without = [float(loss_in_jax(problem)(arrays, chosen, key)) for key in keys]
    halved = [float(loss_in_jax(replace(problem, dropout=0.5))(arrays, chosen, key)) for key in keys]
    all_but_none = [float(loss_in_jax(replace(problem, dropout=1e-7))(arrays, chosen, key)) for key in keys]
    assert len(set(without)) == 1
    assert len(set(halved)) == 3
    assert all_but_none == pytest.approx(without, rel=1e-5)


@pytest.mark.filterwarnings("ignore")  # those of JAX itself
def test_the_first_three_steps_in_jax_are_three_of_ours(in_jax: tuple[Problem, Steps]):
    from jax import random

    problem, take = in_jax
    weights, key = inside(take)
    of_batches, _ = random.split(random.split(key)[1])
    drawn = random.randint(of_batches, (3, 16), 0, len(problem.contexts)).tolist()
    optimizer = SGD(learning_rate=FAST) if problem.optimizer == "sgd" else AdamW(learning_rate=1e-3)
    model = model_with(problem, weights)
    take(3)
    expected = trained(model, optimizer, [(problem.contexts[c], problem.targets[c]) for c in drawn])
    torch.testing.assert_close(model_with(problem, inside(take)[0]).parameters, expected, rtol=0, atol=5e-5)


@pytest.mark.filterwarnings("ignore")
def test_jax_learns(in_jax: tuple[Problem, Steps]):
    problem, take = in_jax
    before = loss_of(problem, inside(take)[0])
    for _ in range(100):
        take(3)
    assert loss_of(problem, inside(take)[0]) < before - 0.3
