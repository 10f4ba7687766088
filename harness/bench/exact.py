"""Times of exact losses and of building contexts, compared with a straightforward way to do each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812

from harness.bench.timing import Burst, Row, interleave, rows_of
from harness.config import ModelConfig, TrainConfig
from harness.corpus import Corpus, OpenSplit
from harness.corpus.contexts import examples_of
from harness.errors import HarnessError
from harness.model import CharMLP
from harness.train import split_nats, stream

SHAPES = ((3, 10, 200, "20 times"), (8, 24, 256, "5 times"), (12, 24, 256, "5 times"))
"""Context length, embedding size, hidden width, and the goal: how many times faster exact losses should be."""
_CONTEXT = 8
_SPLITS: tuple[OpenSplit, ...] = ("train", "dev")


def measure_exact(corpus: Corpus, repeats: int) -> Iterator[list[Row]]:
    """Time exact train and dev losses per context length, then contexts from text; medians in milliseconds.

    Raises:
        HarnessError: the two ways give losses that differ by more than 1e-6 nats.
    """
    for context_length, embedding_size, hidden_width, goal in SHAPES:
        shape = ModelConfig(embedding_size=embedding_size, hidden_width=hidden_width, context_length=context_length)
        model = CharMLP.build(TrainConfig(model=shape), corpus.vocabulary_size, stream(0, "init"))
        _check(model, corpus, context_length)
        bursts = {
            "ours": _timed(partial(_our_nats, model, corpus, context_length)),
            "forward over all examples": _timed(partial(_plain_nats, model, corpus, context_length)),
        }
        what = f"exact train + dev loss, context {context_length}"
        seconds = interleave(bursts, repeats)
        yield rows_of("exact", what, "ms", 1e3, seconds, ours="ours", goal={"forward over all examples": goal})
    items, vocabulary = corpus.items("train"), corpus.vocabulary
    builders: dict[str, Burst] = {
        "ours": _timed(lambda: examples_of(items, vocabulary, _CONTEXT)),
        "the lecture's double loop": _timed(lambda: _double_loop(items, vocabulary)),
    }
    seconds = interleave(builders, repeats)
    loop_goal = {"the lecture's double loop": "20 times"}
    yield rows_of(
        "exact", f"train contexts from text, context {_CONTEXT}", "ms", 1e3, seconds, ours="ours", goal=loop_goal
    )


def _timed(work: Callable[[], object]) -> Burst:
    def burst() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return burst


def _our_nats(model: CharMLP, corpus: Corpus, context_length: int) -> list[float]:
    return [split_nats(model, corpus.counts(split, context_length)) for split in _SPLITS]


@torch.no_grad()
def _plain_nats(model: CharMLP, corpus: Corpus, context_length: int, dtype: torch.dtype = torch.float32) -> list[float]:
    """One forward pass over all examples of each split, as in the lecture."""
    splits = [corpus.examples(split, context_length) for split in _SPLITS]
    return [F.cross_entropy(model.logits(each.contexts).to(dtype), each.targets).item() for each in splits]


def _check(model: CharMLP, corpus: Corpus, context_length: int) -> None:
    # float32 logits summed in float64, because summing 200,000 values in float32 alone has an error of 1e-6.
    ours, plain = _our_nats(model, corpus, context_length), _plain_nats(model, corpus, context_length, torch.float64)
    for split, by_counts, over_examples in zip(_SPLITS, ours, plain, strict=True):
        if abs(by_counts - over_examples) > 1e-6:
            raise HarnessError(
                f"exact losses must agree to 1e-6; {split}: {by_counts} by counts, {over_examples} over all examples."
            )


def _double_loop(items: list[str], vocabulary: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    index = {symbol: i for i, symbol in enumerate(vocabulary)}
    contexts, targets = [], []
    for item in items:
        context = [0] * _CONTEXT
        for symbol in item + vocabulary[0]:
            target = index[symbol]
            contexts.append(context)
            targets.append(target)
            context = [*context[1:], target]
    return torch.tensor(contexts), torch.tensor(targets)
