"""Running torch on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block with one torch thread, and restore the earlier number of threads on exit.

    The bits of a run depend on the number of threads, because torch splits sums among its threads and the
    order of a sum changes its rounding. With one thread, the same run gives the same bits whatever number
    of threads the calling process uses.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
