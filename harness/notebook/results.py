"""A stored study for people who look at it in Python: frames, figures, samples, and a card that says what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ConfigError, nearest

if TYPE_CHECKING:  # pandas and matplotlib take seconds to load, which a study file's workers need not wait for
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.report.plots.plot import Plot
    from harness.report.results import Results


def results(name: str, corpus: str | None = None, *, storage: str | None = None) -> StudyResults:
    """What is stored of a study, also while it runs elsewhere.

    Args:
        name: its key, such as `beat_lecture-names`, or its name.
        corpus: which one of that name, where there are several.
        storage: a database URL or the path of an SQLite file; None for `results/studies.db`.

    Raises:
        StudyError: there is none, or there are several.
        StorageError: the storage is not there or cannot be read.
    """
    from harness.report.results import gather
    from harness.store.find import find_study
    from harness.store.storage import open_storage

    opened = open_storage(storage)
    return StudyResults(gather(opened, find_study(opened, name, corpus)))


class StudyResults:
    """A study as it stood when it was asked for. A notebook shows it as a card.

    Losses are in nats per symbol, exact means over whole splits; every frame names the corpus's fingerprint.
    """

    def __init__(self, gathered: Results) -> None:
        self._results = gathered

    @property
    def key(self) -> str:
        """Name and corpus, as in `results/KEY`."""
        return self._results.study.key

    @property
    def headline(self) -> str:
        """What won, by how much over what, on which split; one line."""
        from harness.report.conclusion import headline

        return headline(self._results)

    @property
    def overview(self) -> list[str]:
        """What stands out of the study as a whole, a sentence each."""
        from harness.report.findings import findings
        from harness.search.engines.in_process import quiet

        with quiet():
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
        """Finalists by their fresh means, the best other trials by their one run, then what they are held against."""
        from harness.report.tables.leaderboard import leaderboard_frame

        return leaderboard_frame(self._results)

    @property
    def finalists(self) -> pd.DataFrame:
        """One row per finalist: mean over fresh seeds, spread, 95 % intervals, ties, the winner; empty before them."""
        from harness.report.tables.finalists import finalists_frame

        return finalists_frame(self._results)

    def plot(self, name: str) -> Figure:
        """One of the report's plots.

        Args:
            name: such as `curves`, `history` or `embedding`; the error for any other name lists them.

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
        """Every plot of the report that has something to show, by name, in the order of the page."""
        from harness.report.plots.every import PLOTS

        drawn = {plot.name: self._drawn(plot) for plot in PLOTS}
        return {name: figure for name, (frame, figure) in drawn.items() if not frame.empty}

    def _drawn(self, plot: Plot[Results]) -> tuple[pd.DataFrame, Figure]:
        """A plot's numbers and the figure of them."""
        from harness.report.plots import style
        from harness.search.engines.in_process import quiet

        with style.look(), quiet():
            frame = plot.data(self._results)
            figure = plot.draw(frame, self._results)
            style.settle(figure)
        return frame, figure

    def samples(self, count: int = 20, seed: int = 0) -> list[str]:
        """New items from the chosen model, the same for the same seed; none while no trial is complete.

        Raises:
            StudyError: the model was defined in another notebook.
        """
        from harness.report.results import samples_of

        return samples_of(self._results, count, seed)

    def __repr__(self) -> str:
        return self.headline

    def _repr_html_(self) -> str:
        from harness.notebook.card import card

        return card(self._results)
