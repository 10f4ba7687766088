"""Named random streams: every use has its own stream, derived from one seed."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**31) for one named use; the same on every machine."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def stream(seed: int, name: str) -> torch.Generator:
    """The random generator for one named use in a run: `init`, `batches`, `dropout` or `sample`."""
    return torch.Generator().manual_seed(derive(seed, name))
