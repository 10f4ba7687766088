"""One torch thread inside the block, the earlier number of threads after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness import CharMLP, Corpus, TrainConfig, lr_range, overfit_one_batch, split_nats, stream, train, train_seeds
from harness.errors import ConfigError
from harness.train.threads import one_thread


def score(config: TrainConfig, corpus: Corpus) -> object:
    model = CharMLP.build(config, corpus.vocabulary_size, stream(0, "init"))
    return split_nats(model, corpus.counts("dev", config.model.context_length))


@pytest.fixture
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def stop_inside() -> None:
    with one_thread():
        raise KeyboardInterrupt


@pytest.mark.usefixtures("_three_threads")
def test_a_block_runs_on_one_thread_and_the_earlier_number_is_restored():
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_the_earlier_number_is_restored_after_an_error_too():
    with pytest.raises(KeyboardInterrupt):
        stop_inside()
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_blocks_can_be_nested():
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_a_run_uses_one_thread_unless_asked_for_more_and_restores_the_earlier_number(
    small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]
):
    seen: list[int] = []

    def look(_points: object) -> None:
        seen.append(torch.get_num_threads())

    config = tiny_config(evaluations=1, batch_size=8)  # so small that seeds train side by side
    train(config, small_corpus, on_evaluation=look)
    train(config, small_corpus, on_evaluation=look, threads=2)
    train_seeds(config, small_corpus, [0, 1], on_evaluation=look)
    train_seeds(config, small_corpus, [0, 1], on_evaluation=look, threads=2)
    assert seen == [1, 2, 1, 2]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_a_run_that_fails_restores_the_earlier_number(small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]):
    def fail(_point: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), small_corpus, on_evaluation=fail)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize("work", [lr_range, overfit_one_batch, score], ids=["range", "overfit", "score"])
def test_probes_and_exact_losses_run_on_one_thread(
    work: Callable[..., object],
    small_corpus: Corpus,
    tiny_config: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
):
    seen: set[int] = set()
    log_softmax = torch.log_softmax

    def look(*args: Any, **kwargs: Any) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return log_softmax(*args, **kwargs)

    monkeypatch.setattr(torch, "log_softmax", look)
    work(tiny_config(), small_corpus)
    assert seen == {1}
    assert torch.get_num_threads() == 3


def test_a_run_on_no_threads_is_refused(small_corpus: Corpus, tiny_config: Callable[..., TrainConfig]):
    with pytest.raises(ConfigError, match="threads must be at least 1; got 0"):
        train(tiny_config(), small_corpus, threads=0)
