"""The verdict on a finished run, and the knob to change next.

Losses are in nats per symbol. Figures measured "here" are for `names` at fingerprint 14f825ec2506.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.train.advice import Verdict, advise
from harness.train.counted import SPLITS, best_counted
from harness.train.items import gap_error, item_nats
from harness.train.limit import GAIN, Limit, limit_of
from harness.train.trainer import Evaluation, TrainResult

SEED_SPAN = 0.022
"""Nats between the best and the worst of several seeds of one config. Smaller differences between runs are noise.

Five seeds of the lecture's recipe span 0.022 here (2.1471 to 2.1688). Three seeds of another implementation
span 0.014 (SuvirRathore/makemore-from-scratch). Both agree with a standard deviation of about 0.009, because
the span grows with the number of seeds. The wider span is used because it was measured with this code, this
split and exact losses.
"""
STILL_FALLING = 0.01
"""Nats per tenth of the run. If dev falls by more than this at the end, the run should have been longer.

Among 60 unpruned trials of beat_lecture, the best runs whose rate decays to zero fall by 0.001 to 0.007 in the
last tenth, and more steps may or may not lower their loss. Of 5 trials that fell by more, doubling the
steps lowered dev in 4, by 0.04 to 0.12.
"""
SMALL_GAP = 0.05
"""Nats between train and dev. The lecture calls a smaller gap roughly equal, and the model too small.

Adding 0.15 of dropout raised dev in 14 of 16 trials with a smaller gap; the other two had jitter.
"""
LARGE_GAP = 0.15
"""Nats between train and dev. Above this gap, regularisation helps.

Dropout of 0.15 lowered dev in all 6 trials with gaps of 0.17 to 0.29, and raised it in all 4 with gaps of 0.10 to 0.14.
"""
SURE = 2.0
"""Standard errors by which a gap must exceed LARGE_GAP, and a fall must exceed zero.

Of 1,000 simulated flat runs with a jitter of 0.03 nats, as batches of 32 at a rate of 0.1 have, 42 to 53 are
wrongly called still improving, at 10, 20 and 40 evaluations.
"""
TAIL = 1 / 3
"""Share of the run that counts as its end. It holds 4 of 10 evaluations, the fewest that separate trend from jitter."""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, the numbers behind it (nats), and the knob to change next."""

    verdict: Verdict
    evidence: dict[str, float]
    advice: str
    next: TrainConfig | None = None
    """The config after following the advice; None if there is nothing to change."""


def diagnose(
    curve: Sequence[Evaluation],
    config: TrainConfig,
    vocabulary_size: int,
    *,
    gap_error: float | None = None,
    ngram_nats: float | None = None,
    limit: Limit | None = None,
) -> Diagnosis:
    """Judge a run by its whole curve. The first rule that holds, in this order, gives the verdict.

    1. diverged: a loss is not finite, or train ends above log V, the loss of uniform guessing.
       (If only dev is above log V, the model memorises, which is overfitting. If nothing is left to be learnt,
       as with uniformly random items, log V is the floor.)
    2. still improving: dev falls by more than STILL_FALLING per tenth of the run, both over the last third
       (by at least SURE standard errors) and in the last tenth (allowing for jitter), and dev has not
       risen from its minimum by more than SEED_SPAN or the jitter.
    3. overfitting: dev ends more than SEED_SPAN above its minimum although train fell since then
       (if both rise, the learning rate is too high), or the gap exceeds LARGE_GAP by SURE standard errors, or
       train ends below the floor and dev above the best of what is counted, both by more than SEED_SPAN.
    4. at the floor: nothing is left to be learnt at this context length, and counting gains at most GAIN by a longer
       one. Nothing is left if the gap is at most SMALL_GAP (allowing for SURE standard errors), train ends within
       SEED_SPAN of the floor (allowing for the floor's own error), and dev at most SEED_SPAN above the best of what is
       counted within the context.

       Of 572 runs on Markov chains of order 0 to 3 (2 to 26 letters; 300, 2,000 and 20,000 items; ends by chance, of
       equal length, or of 3 to 9 letters), none of the 384 whose train ended more than 0.04 above the chain's own loss
       got this verdict. Of the 55 that came within 0.015 on train and 0.02 on dev, 40 did; for most of the others a
       longer context still showed where items end.
    5. underfitting: nothing is left but at a longer context, or the gap is below SMALL_GAP, or dev ends more than
       SEED_SPAN above the best counted n-gram of this context length. A network that is worse than counting has not
       used its context.
    6. well fitted: none of these.

    Args:
        gap_error: standard error of the final gap in nats, over items (`harness.train.gap_error`).
        ngram_nats: dev loss of the best counted n-gram of this context length (`harness.train.best_counted`).
        limit: what counting shows about the corpus (`harness.train.limit.limit_of`).
    """
    evidence = _evidence(curve, vocabulary_size, gap_error, ngram_nats) | _limits(curve[-1], limit)
    verdict = _verdict(evidence)
    if verdict == "at the floor":
        return Diagnosis(verdict, evidence, "The loss is the entropy of the data: confirm it on fresh seeds.")
    move = advise(verdict, config, evidence)
    if move is None:
        return Diagnosis(verdict, evidence, "Confirm it on fresh seeds before changing anything else.")
    return Diagnosis(verdict, evidence, f"{move.text[0].upper()}{move.text[1:]}.", move.config)


def judge(result: TrainResult, config: TrainConfig, corpus: Corpus, *, one_model: bool = True) -> Diagnosis:
    """`diagnose` with all optional inputs for a complete run; without those of its weights for a stopped one, and
    with the curve alone for a diverged one.

    Args:
        one_model: False if the curve is a mean over seeds. The gap's error belongs to one set of weights,
            so it is then left out.
    """
    length, size = config.model.context_length, corpus.vocabulary_size
    if result.status == "diverged":
        return diagnose(result.curve, config, size)
    limit = limit_of(corpus, length)
    if result.status == "stopped":
        return diagnose(result.curve, config, size, limit=limit)
    error = gap_error(*(item_nats(result.model, corpus, split, length) for split in SPLITS)) if one_model else None
    ngram = best_counted(corpus, length)
    return diagnose(result.curve, config, size, gap_error=error, ngram_nats=ngram.dev_nats, limit=limit)


def _verdict(found: dict[str, float]) -> Verdict:
    if "gap" not in found:
        return "diverged"
    nothing_left = _is_at_floor_of_its_context(found)
    # Uniformly random symbols leave nothing but chance to be learnt, so such a run may end on either side of log V.
    if found["train_nats"] > found["log_vocabulary"] and not nothing_left:
        return "diverged"
    fall, rise, gap = found["fall_at_end"], found["rise_from_minimum"], found["gap"]
    falls = fall > max(STILL_FALLING, SURE * found["fall_error"]) and rise <= max(SEED_SPAN, found["jitter"])
    # A decayed run ends flat even if the last third as a whole is steep. A single odd last point is jitter.
    if falls and found["fall_in_last_tenth"] + found["jitter"] > STILL_FALLING:
        return "still improving"
    if (rise > SEED_SPAN and found["train_since_minimum"] < 0) or gap - SURE * found.get("gap_error", 0.0) > LARGE_GAP:
        return "overfitting"
    if _memorises(found):
        return "overfitting"
    if nothing_left and found["longer_gain"] <= GAIN:
        return "at the floor"
    if nothing_left or gap < SMALL_GAP or found.get("above_ngram", 0.0) > SEED_SPAN:
        return "underfitting"
    return "well fitted"


def _is_at_floor_of_its_context(found: dict[str, float]) -> bool:
    if "floor" not in found:
        return False
    is_small = found["gap"] <= SMALL_GAP + SURE * found.get("gap_error", 0.0)
    is_low = found["above_floor"] <= SEED_SPAN + found["floor_error"]
    return is_small and is_low and found["above_counted"] <= SEED_SPAN


def _memorises(found: dict[str, float]) -> bool:
    """Whether train is below what the data allow, and dev above what counting reaches."""
    below = -found.get("above_floor", 0.0) - found.get("floor_error", 0.0)
    return below > SEED_SPAN and found.get("above_counted", 0.0) > SEED_SPAN


def _limits(last: Evaluation, limit: Limit | None) -> dict[str, float]:
    if limit is None or not math.isfinite(last.train_nats):
        return {}
    return {
        "floor": limit.floor,
        "floor_error": limit.floor_error,
        "above_floor": last.train_nats - limit.floor,
        "above_counted": last.dev_nats - limit.dev_nats,
        "longer_gain": limit.longer_gain,
    }


def _evidence(
    curve: Sequence[Evaluation], vocabulary_size: int, gap_error: float | None, ngram_nats: float | None
) -> dict[str, float]:
    """The numbers that the rules use; only the first three if any loss of the curve is not finite."""
    last = curve[-1]
    found = {"train_nats": last.train_nats, "dev_nats": last.dev_nats, "log_vocabulary": math.log(vocabulary_size)}
    if not all(math.isfinite(nats) for point in curve for nats in (point.train_nats, point.dev_nats)):
        return found
    lowest = min(curve, key=lambda point: point.dev_nats)
    end = tail(curve)
    fall, error = trend(end)
    found |= {
        "gap": last.dev_nats - last.train_nats,
        "fall_at_end": fall,
        "fall_error": error,
        "fall_in_last_tenth": fall_in_last_tenth(curve),
        "jitter": max([0.0, *(after.dev_nats - before.dev_nats for before, after in pairwise(end))]),
        "rise_from_minimum": last.dev_nats - lowest.dev_nats,
        "train_since_minimum": last.train_nats - lowest.train_nats,
    }
    if gap_error is not None and math.isfinite(gap_error):
        found["gap_error"] = gap_error
    if ngram_nats is not None:
        found |= {"ngram_nats": ngram_nats, "above_ngram": last.dev_nats - ngram_nats}
    return found


def tail(curve: Sequence[Evaluation]) -> Sequence[Evaluation]:
    """The evaluations in the last TAIL of the run; at least three if the curve has that many."""
    last = curve[-1]
    # Evaluations fall on whole steps, so the one at two thirds may miss the limit by less than a step.
    inside = sum(point.step >= (1 - TAIL) * last.step - 1 for point in curve)
    return curve[-max(3, inside) :]


def trend(points: Sequence[Evaluation]) -> tuple[float, float]:
    """Nats that dev falls per tenth of the run, and the standard error of that.

    The fall is the median slope over all pairs of points (Theil 1950, Sen 1968), so that one odd evaluation
    cannot change its sign. The error is that of a straight-line fit, computed from the residuals.
    """
    at = [10 * point.step / max(1, points[-1].step) for point in points]
    pairs = combinations(zip(at, [point.dev_nats for point in points], strict=True), 2)
    falls = [(y - later_y) / (later_x - x) for (x, y), (later_x, later_y) in pairs if later_x > x]
    if not falls:
        return 0.0, 0.0
    fall = statistics.median(falls)
    left = [point.dev_nats + fall * x for point, x in zip(points, at, strict=True)]
    if len(points) < 3:
        return fall, 0.0
    spread, mean = math.sqrt(len(at)) * statistics.pstdev(at), statistics.fmean(left)
    return fall, math.sqrt(sum((value - mean) ** 2 for value in left) / (len(left) - 2)) / spread


def fall_in_last_tenth(curve: Sequence[Evaluation]) -> float:
    """Nats that dev fell per tenth of the run, from the last point at least a tenth before the end to the end."""
    last = curve[-1]
    earlier = [point for point in curve if point.step < 0.9 * last.step + 1]
    if not earlier or earlier[-1] is last:
        return 0.0
    tenths = (last.step - earlier[-1].step) / (0.1 * last.step)
    return (earlier[-1].dev_nats - last.dev_nats) / tenths
