"""A stored study in Python: frames, figures, samples, its model, and a card with its conclusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ConfigError, StudyError, nearest

if TYPE_CHECKING:  # pandas and matplotlib take seconds to import, and the workers that import a study file need neither
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.model import Build
    from harness.report.plots.plot import Plot
    from harness.report.results import Results
    from harness.store.saved_model import SavedModel


def results(name: str, corpus: str | None = None, *, storage: str | None = None) -> StudyResults:
    """The stored results of a study, including one that is still running elsewhere.

    Args:
        name: its key, such as `beat_lecture-names`, or its name.
        corpus: the corpus of the study, if several studies have the name.
        storage: a database URL or the path of an SQLite file; None for `results/studies.db`.

    Raises:
        StudyError: no study matches, or several do.
        StorageError: the storage does not exist or cannot be read.
    """
    from harness.report.results import gather
    from harness.store.find import find_study
    from harness.store.quiet import quiet_optuna
    from harness.store.storage import open_storage

    with quiet_optuna():
        opened = open_storage(storage)
        return StudyResults(gather(opened, find_study(opened, name, corpus)))


class StudyResults:
    """A study as it was stored when `results` was called. A notebook shows it as a card.

    Losses are in nats per symbol, exact means over whole splits. Every frame has the corpus's fingerprint.
    """

    def __init__(self, gathered: Results) -> None:
        self._results = gathered

    @property
    def key(self) -> str:
        """Name and corpus, as in `results/KEY`."""
        return self._results.study.key

    @property
    def headline(self) -> str:
        """One line: the winner or best trial, its dev loss, and what it is compared with."""
        from harness.report.conclusion import headline

        return headline(self._results)

    @property
    def overview(self) -> list[str]:
        """Findings about the study as a whole, one sentence each."""
        from harness.report.findings import findings
        from harness.store.quiet import quiet_optuna

        with quiet_optuna():
            return findings(self._results)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: outcome, losses, cost, parameters."""
        from harness.report.frames import trials_frame

        return trials_frame(self._results)

    @property
    def curves(self) -> pd.DataFrame:
        """One row per evaluation of every trial and of the lecture's recipe."""
        from harness.report.frames import curves_frame

        return curves_frame(self._results)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """Finalists by their means over fresh seeds, then the best other trials by their one run, then baselines."""
        from harness.report.tables.leaderboard import leaderboard_frame

        return leaderboard_frame(self._results)

    @property
    def finalists(self) -> pd.DataFrame:
        """One row per finalist: mean over fresh seeds, spread, 95 % intervals, ties, the winner. Empty before that."""
        from harness.report.tables.finalists import finalists_frame

        return finalists_frame(self._results)

    def plot(self, name: str) -> Figure:
        """One of the report's plots.

        Args:
            name: such as `curves`, `history` or `embedding`; the error for an unknown name lists them all.

        Raises:
            ConfigError: there is no plot of that name.
        """
        from harness.report.plots.every import PLOTS

        known = {plot.name: plot for plot in PLOTS}
        if name not in known:
            raise ConfigError(
                f"a plot must be one of {', '.join(known)}; got {name!r}.{nearest(name, list(known))} Name one of them."
            )
        return self._drawn(known[name])[1]

    def plots(self) -> dict[str, Figure]:
        """All plots of the report that have data, by name, in the order of the page."""
        from harness.report.plots.every import PLOTS

        drawn = {plot.name: self._drawn(plot) for plot in PLOTS}
        return {name: figure for name, (frame, figure) in drawn.items() if not frame.empty}

    def _drawn(self, plot: Plot[Results]) -> tuple[pd.DataFrame, Figure]:
        """A plot's numbers and its figure."""
        from harness.report.plots import style
        from harness.report.plots.plot import make
        from harness.store.quiet import quiet_optuna

        with style.look(), quiet_optuna():
            made = make(plot, self._results)
        return made.frame, made.figure

    def samples(self, count: int = 20, seed: int = 0, *, mixed: bool = False) -> list[str]:
        """New items from the chosen model, the same for the same seed. Empty while no trial is complete.

        Args:
            mixed: draw from its mixture with the counted n-gram instead.

        Raises:
            StudyError: the model was defined in another notebook, or there is no mixture.
        """
        from harness.report.results import samples_of

        return samples_of(self._results, count, seed, mixed=mixed)

    def model(self, *, build: Build | None = None) -> SavedModel:
        """The chosen model with its weights: the winner's from its first fresh seed, else the best trial's.

        Args:
            build: the function that made the model, if it is your own; None for the study's.

        Raises:
            StudyError: no weights are stored yet, or the model was defined in another notebook.
            ModelChanged: `build` now makes a model with other weights.
        """
        from harness.store.saved_model import unpack_model

        gathered = self._results
        if gathered.weights is None:
            raise StudyError(
                f"a model needs stored weights, those of a complete trial; {self.key} has none yet. "
                "Run make study again."
            )
        return unpack_model(gathered.weights, build or gathered.builder(), gathered.counted)

    def __repr__(self) -> str:
        return self.headline

    def _repr_html_(self) -> str:
        from harness.notebook.card import card

        return card(self._results)
