"""The number of threads that torch runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from harness.errors import ConfigError


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run the block with `count` torch threads, and restore the earlier number on exit.

    One thread is the rule here. The steps of a small model are so short that a second thread saves a quarter of
    their time at best. As soon as another process needs the core, it makes them one and a half times as long, and now
    and then many times, because the two threads wait for each other in every call (`harness bench neighbour`). The
    bits of a run depend on the number of threads too: torch splits sums among them, and the order of a sum changes
    its rounding.

    Raises:
        ConfigError: the number is below 1.
    """
    if count < 1:
        raise ConfigError(f"threads must be at least 1; got {count}. Leave it out for one thread.")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


one_thread = partial(torch_threads, 1)
"""`torch_threads(1)`: `with one_thread():` around a block, or `@one_thread()` above a function."""
