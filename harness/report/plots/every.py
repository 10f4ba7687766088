"""All plots of a study, in the order of its page."""

from __future__ import annotations

from harness.report.plots.cost import COMPUTE, PARAMETERS, SECONDS
from harness.report.plots.curves import CURVES, TRAIN_AGAINST_DEV, TRIAL_CURVES
from harness.report.plots.finalists import FINALISTS
from harness.report.plots.model import EMBEDDING, LR_RANGE, POSITIONS, SYMBOLS
from harness.report.plots.plot import Plot
from harness.report.plots.search import HISTORY, IMPORTANCE, SLICES
from harness.report.plots.space import PAIR, PARALLEL
from harness.report.results import Results

PLOTS: tuple[Plot[Results], ...] = (
    FINALISTS, CURVES, TRIAL_CURVES, TRAIN_AGAINST_DEV, HISTORY, IMPORTANCE, SLICES, PARALLEL, PAIR, SECONDS,
    PARAMETERS, COMPUTE, LR_RANGE, EMBEDDING, POSITIONS, SYMBOLS,
)  # fmt: skip
