"""A study that runs where it is defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.study import definition as definition

if TYPE_CHECKING:
    from harness.notebook.results import StudyResults


class Study(definition.Study):
    __doc__ = definition.Study.__doc__

    def run(
        self,
        trials: int | None = None,
        *,
        minutes: float | None = None,
        corpus: str | None = None,
        finalists: int | None = None,
        seeds: int | None = None,
        storage: str | None = None,
    ) -> StudyResults:
        """Search in this process with a progress bar, or resume a stopped search. `make study` uses all cores instead.

        Results go to the same storage as those of `make study`, so the dashboard, `make report` and
        `results(…)` show them. An argument that is None keeps its value from the last run, or else the
        study's own. Finalists are trained after the search, in this process; `finalists=0` skips them.

        Args:
            trials: number of finished trials at which the search ends, including those of earlier runs.
            minutes: wall time of this session, finalists included; a report is not written.
            corpus: a known corpus, or the path of a text with one item per line.
            finalists: best trials to train again.
            seeds: fresh seeds for each finalist.
            storage: a database URL or the path of an SQLite file; None for `results/studies.db`.

        Raises:
            HarnessError: one line with the rule, the value given and the way out.
            KeyboardInterrupt: the cell was interrupted. Its trial was requeued; run the cell again to continue.
        """
        # Imported here, because they take seconds and the worker processes that import a study file need none of them.
        from harness.notebook.bar import Bars
        from harness.notebook.results import StudyResults
        from harness.report.results import gather
        from harness.search.engines.in_process import run_in_process
        from harness.search.request import Request
        from harness.study.settings import Settings

        settings = Settings(
            trials=trials, minutes=minutes, finalists=finalists, seeds=seeds, workers=1, corpus=corpus, storage=storage
        )
        request = Request(study=self.name, settings=settings)
        try:
            with Bars() as bars:
                session = run_in_process(self, request, bars.begin, bars.on_event)
        except KeyboardInterrupt:
            message = "the trial in flight was requeued; run the same cell again to continue"
            raise KeyboardInterrupt(message) from None
        return StudyResults(gather(session.storage, session.record, self.build))
