"""What a finished run says about itself: under-, over- or well fitted, and what to turn next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.config import TrainConfig
from harness.train.trainer import Evaluation

Verdict = Literal["diverged", "still improving", "overfitting", "underfitting", "well fitted"]

SEED_SPAN = 0.014
"""Nats between three seeds of the lecture's recipe (SuvirRathore/makemore-from-scratch); less is noise."""
STILL_FALLING = 0.01
"""Nats that dev falls in the last tenth of a run that should have gone on."""
SMALL_GAP = 0.05
"""Nats between train and dev below which the lecture calls them roughly equal, so the model too small."""
LARGE_GAP = 0.15
"""Nats between train and dev above which a tenfold seed span of the training gain never reaches dev."""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, the numbers it rests on (nats), and the next thing to turn."""

    verdict: Verdict
    evidence: dict[str, float]
    advice: str


def diagnose(curve: Sequence[Evaluation], config: TrainConfig, vocabulary_size: int) -> Diagnosis:
    """Judge a run by its whole curve; the first rule that holds, in this order, gives the verdict.

    1. diverged: a loss is not finite, or train ends above log V, what guessing blindly scores.
       (Dev alone above it is memorising, which is overfitting.)
    2. still improving: dev fell by more than STILL_FALLING in the last tenth of the run.
    3. overfitting: dev ends more than SEED_SPAN above its minimum although train fell since then
       (both rising is a learning rate that jumps about), or the gap exceeds LARGE_GAP.
    4. underfitting: the gap is below SMALL_GAP.
    5. well fitted: none of these.
    """
    last = curve[-1]
    chance = math.log(vocabulary_size)
    evidence = {"train_nats": last.train_nats, "dev_nats": last.dev_nats, "log_vocabulary": chance}
    if not (math.isfinite(last.train_nats) and math.isfinite(last.dev_nats)) or last.train_nats > chance:
        return Diagnosis("diverged", evidence, "Lower the learning rate, or warm it up longer.")
    gap = last.dev_nats - last.train_nats
    fall = fall_in_last_tenth(curve)
    lowest = min(curve, key=lambda point: point.dev_nats)
    rise, train_since = last.dev_nats - lowest.dev_nats, last.train_nats - lowest.train_nats
    evidence |= {"gap": gap, "fall_in_last_tenth": fall, "rise_from_minimum": rise, "train_since_minimum": train_since}
    if fall > STILL_FALLING:
        return Diagnosis("still improving", evidence, "Give it more steps, or let the learning rate decay further.")
    if (rise > SEED_SPAN and train_since < 0) or gap > LARGE_GAP:
        return Diagnosis("overfitting", evidence, _against_overfitting(config))
    if gap < SMALL_GAP:
        return Diagnosis("underfitting", evidence, _against_underfitting(config))
    return Diagnosis("well fitted", evidence, "Confirm it on fresh seeds before turning anything else.")


def fall_in_last_tenth(curve: Sequence[Evaluation]) -> float:
    """Nats that dev fell per tenth of the run at its end, from the last point at least a tenth before it."""
    last = curve[-1]
    # Evaluations fall on whole steps: the one at nine tenths may stand a fraction of a step behind them.
    earlier = [point for point in curve if point.step < 0.9 * last.step + 1]
    if not earlier or earlier[-1] is last:
        return 0.0
    tenths = (last.step - earlier[-1].step) / (0.1 * last.step)
    return (earlier[-1].dev_nats - last.dev_nats) / tenths


def _against_overfitting(config: TrainConfig) -> str:
    if config.dropout < 0.1:
        return "Add dropout, or more of it."
    if config.optimizer.weight_decay == 0:
        return "Add weight decay."
    return "Make the hidden layer narrower, or stop earlier."


def _against_underfitting(config: TrainConfig) -> str:
    if config.dropout > 0.1:
        return "Take dropout away first."
    if config.model.context_length < 6:
        return "Lengthen the context; then widen the hidden layer."
    if config.model.hidden_width < 256:
        return "Widen the hidden layer; then enlarge the embedding."
    return "Enlarge the embedding, or train for more examples."
