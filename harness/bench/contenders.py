"""Other ways to train the same model on the same data, each written as its users usually write it.

Every function makes a new model and returns `steps(n)`, which takes n training steps.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

Steps = Callable[[int], None]


@dataclass(frozen=True)
class Problem:
    """The problem that all contenders solve: a shape, an optimiser by name, and the examples of a train split."""

    batch_size: int
    context_length: int
    embedding_size: int
    hidden_width: int
    optimizer: str
    """`sgd` or `adamw`."""
    contexts: Tensor
    """(N, T) int64"""
    targets: Tensor
    """(N,) int64"""
    vocabulary_size: int
    dropout: float = 0.0
    """Share of hidden units set to zero in each training step."""

    @property
    def label(self) -> str:
        shape = (self.batch_size, self.context_length, self.embedding_size, self.hidden_width)
        dropout = f", dropout {self.dropout:g}" if self.dropout else ""
        return f"{', '.join(map(str, shape))}, {self.optimizer}{dropout}"


RATE = {"sgd": 0.01, "adamw": 1e-3}
BETAS = (0.9, 0.99)


def raw_loop(problem: Problem) -> Steps:
    """The lecture's loop: five tensors, autograd and a hand-written update."""
    loop = RawLoop(problem, torch.Generator().manual_seed(0))
    return lambda n: loop.run(n, RATE[problem.optimizer])


class RawLoop:
    """The lecture's training loop, with its N(0, 1) initialisation."""

    def __init__(self, problem: Problem, generator: torch.Generator) -> None:
        T, E, H, V = problem.context_length, problem.embedding_size, problem.hidden_width, problem.vocabulary_size
        self._problem, self._generator = problem, generator
        shapes = ((V, E), (T * E, H), (H,), (H, V), (V,))
        self.weights = [torch.randn(shape, generator=generator) for shape in shapes]
        for weight in self.weights:
            weight.requires_grad = True
        self._adamw = _optimizer(self.weights, problem) if problem.optimizer == "adamw" else None

    def run(self, steps: int, rate: float) -> None:
        embedding, w1, b1, w2, b2 = self.weights
        contexts, targets, B = self._problem.contexts, self._problem.targets, self._problem.batch_size
        for _ in range(steps):
            chosen = torch.randint(0, len(contexts), (B,), generator=self._generator)
            h = torch.tanh(embedding[contexts[chosen]].view(B, -1) @ w1 + b1)
            if self._problem.dropout:
                h = F.dropout(h, self._problem.dropout)
            loss = F.cross_entropy(h @ w2 + b2, targets[chosen])
            for weight in self.weights:
                weight.grad = None
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships it without a signature
            if self._adamw is not None:
                self._adamw.step()
            else:
                for weight in self.weights:
                    assert weight.grad is not None
                    weight.data += -rate * weight.grad


class PlainMLP(nn.Module):
    """The model as a torch user writes it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        T, E, H, V = problem.context_length, problem.embedding_size, problem.hidden_width, problem.vocabulary_size
        self.embedding = nn.Embedding(V, E)
        self.hidden = nn.Linear(T * E, H)
        self.dropout = nn.Dropout(problem.dropout)
        self.output = nn.Linear(H, V)

    def forward(self, contexts: Tensor) -> Tensor:
        h = torch.tanh(self.hidden(self.embedding(contexts).flatten(1)))
        logits: Tensor = self.output(self.dropout(h))
        return logits


def module_loop(problem: Problem) -> Steps:
    """nn.Module with torch's fused optimiser; batches are drawn by index."""
    return _module_steps(problem, _drawn(problem), compiled=False)


def compiled_loop(problem: Problem) -> Steps:
    """The same with torch.compile.

    Raises:
        RuntimeError: no C++ compiler is installed.
    """
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise RuntimeError("no C++ compiler found")
    return _module_steps(problem, _drawn(problem), compiled=True)


def loader_loop(problem: Problem) -> Steps:
    """The same with a shuffling DataLoader, as in most tutorials."""
    dataset = torch.utils.data.TensorDataset(problem.contexts, problem.targets)
    B = problem.batch_size
    loader = torch.utils.data.DataLoader(dataset, batch_size=B, shuffle=True, drop_last=len(dataset) >= B)

    def epochs() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    return _module_steps(problem, epochs(), compiled=False)


def _drawn(problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        chosen = torch.randint(0, len(problem.contexts), (problem.batch_size,))
        yield problem.contexts[chosen], problem.targets[chosen]


def _optimizer(weights: Iterable[Tensor], problem: Problem) -> torch.optim.Optimizer:
    if problem.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=RATE["sgd"], fused=True)
    return torch.optim.AdamW(weights, lr=RATE["adamw"], betas=BETAS, weight_decay=0.0, fused=True)


def _module_steps(problem: Problem, batches: Iterator[tuple[Tensor, Tensor]], *, compiled: bool) -> Steps:
    model = PlainMLP(problem)
    optimizer = _optimizer(model.parameters(), problem)

    def loss_of(contexts: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(model(contexts), targets)

    forward = torch.compile(loss_of) if compiled else loss_of

    def steps(n: int) -> None:
        for _ in range(n):
            contexts, targets = next(batches)
            optimizer.zero_grad(set_to_none=True)
            forward(contexts, targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return steps
