"""One torch thread inside the block, the earlier number of threads after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from harness.train.threads import one_thread


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
