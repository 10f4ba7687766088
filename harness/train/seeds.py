"""Randomness by name: every use draws from a stream of its own, derived from one seed."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A seed for one named use, the same on every machine; in [0, 2**31)."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def stream(seed: int, name: str) -> torch.Generator:
    """The generator of one named use of a run: `init`, `batches`, `dropout`, `sample`."""
    return torch.Generator().manual_seed(derive(seed, name))
