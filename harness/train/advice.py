"""The next knob to change: for each verdict, the first applicable move among those the lecture argues for.

The figures below are changes of the dev loss in nats per symbol on `names`, fingerprint 14f825ec2506
(dev n=22,655), from about fifty cheap trials. `harness bench advice` measures how much the advice is worth on
fresh trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from harness.config import InverseTime, TrainConfig
from harness.model import multiplier
from harness.train.limit import GAIN
from harness.train.moves import Move, moves

Verdict = Literal["diverged", "still improving", "overfitting", "underfitting", "well fitted", "at the floor"]

JITTER = 0.01
"""Nats. If dev rises by more than this between evaluations near the end, the rate is too high for a lower plateau.

There were 6 underfitting trials at a constant rate. Linear decay changed dev by -0.22 to -0.09 in the 3 with
larger rises, and by -0.004 to +0.066 in the other 3.
"""
DECAYED = 0.1
"""A run counts as decayed if its final rate is at most this share of its base rate.

In the lecture the last rate is a tenth of the first.
"""
SHORT_CONTEXT = 3
"""Symbols. Up to this context length, the advice is to lengthen the context first, unless counting gains nothing by it.

It is the lecture's own length, and one of the knobs the lecture leaves to its listeners. Two more symbols
lowered dev in 9 of 9 trials, by 0.026 to 0.124. Longer contexts are lengthened first only if counting gains more by
that than is left to be learnt at their own length.
"""
BOTTLENECK = 16
"""Numbers per symbol. Below this embedding size, the advice is to enlarge the embedding next.

The lecture goes from 2 to 10 for the same reason. Doubling the size lowered dev in all 13 trials without
jitter, by a median of 0.042.
"""
HIGH_DROPOUT = 0.2
"""Dropout from which an underfitting network should reduce it before it gets wider.

Halving the dropout lowered dev in 7 of 8 trials, by 0.010 to 0.059.
"""
STRONG_WEIGHT_DECAY, STRONG_DROPOUT = 0.1, 0.3
"""Thresholds above which the next move is tried. The order is weight decay, dropout, stopping earlier.

In 6 overfitting trials, weight decay of 0.1 lowered dev by 0.003 to 0.050. Dropout of 0.15 lowered it by 0.001
to 0.042, in 5 of the 6 by less than weight decay did. Half the steps lowered it in only 3, by 0.040 at most.
"""


def advise(verdict: Verdict, config: TrainConfig, evidence: Mapping[str, float]) -> Move | None:
    """The next move for a run with this verdict; None if there is nothing to change."""
    possible = moves(config)
    wanted = {
        "diverged": _against_divergence,
        "still improving": _for_the_end,
        "overfitting": _against_overfitting,
        "underfitting": _against_underfitting,
        "well fitted": lambda *_: iter(()),
        "at the floor": lambda *_: iter(()),
    }[verdict]
    return next((possible[name] for name in wanted(config, evidence) if name in possible), None)


def _against_divergence(_config: TrainConfig, _evidence: Mapping[str, float]) -> Iterator[str]:
    yield "far lower rate"


def _for_the_end(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if jumps_about(config, evidence) or decays_at_once(config):
        yield "decay"
    yield "more steps"


def _against_overfitting(config: TrainConfig, _evidence: Mapping[str, float]) -> Iterator[str]:
    # In two overfitting trials at a constant rate, decay lowered dev by 0.18 and 0.075, more than any other move.
    if is_undecayed(config) or decays_at_once(config):
        yield "decay"
    if config.optimizer.weight_decay < STRONG_WEIGHT_DECAY:
        yield "more weight decay"
    if config.dropout < STRONG_DROPOUT:
        yield "more dropout"
    yield "fewer steps"


def _against_underfitting(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if jumps_about(config, evidence) or decays_at_once(config):
        yield "decay"
    if longer_contexts_gain(config, evidence):
        yield "longer context"
    if config.model.embedding_size < BOTTLENECK:
        yield "larger embedding"
    if config.dropout >= HIGH_DROPOUT:
        yield "less dropout"
    yield "wider"
    yield "more steps"


def longer_contexts_gain(config: TrainConfig, evidence: Mapping[str, float]) -> bool:
    """Whether counting gains by a longer context, and the context is short or has less left to be learnt than that."""
    gain = evidence.get("longer_gain", math.inf)
    is_short = config.model.context_length <= SHORT_CONTEXT
    return gain > GAIN and (is_short or gain > evidence.get("above_floor", math.inf))


def jumps_about(config: TrainConfig, evidence: Mapping[str, float]) -> bool:
    """Whether the run ends with jitter at an undecayed rate. Decay would take the loss below that plateau."""
    return is_undecayed(config) and evidence["jitter"] > JITTER


def is_undecayed(config: TrainConfig) -> bool:
    return multiplier(config.schedule, 1.0) > DECAYED


def decays_at_once(config: TrainConfig) -> bool:
    """Whether most of the decay happens early in the run, so that a later decay is better.

    In 4 of 4 trials with an inverse-time schedule, linear decay instead lowered dev, by 0.024 to 0.080.
    """
    return isinstance(config.schedule, InverseTime)
