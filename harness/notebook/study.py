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
        """Search in this process, with a bar; or carry on where it stopped. For notebooks: `make study` uses all cores.

        Everything lands in the same storage as that of `make study`, so the dashboard, `make report` and
        `results(…)` see it. What is None is as it was asked last, else as the study says, finalists
        included: they are trained after the search, in this process too; `finalists=0` stops before them.

        Args:
            trials: finished trials that end the search, those of earlier runs among them.
            minutes: wall time that ends it.
            corpus: a corpus by name, or the path of a text with one item a line.
            finalists: best trials to train again.
            seeds: fresh seeds for each of them.
            storage: a database URL or the path of an SQLite file; None for `results/studies.db`.

        Raises:
            HarnessError: one line that says the rule, the value and the way out.
            KeyboardInterrupt: the cell was interrupted; its trial was put back, and the same cell carries on.
        """
        # Here, because together they take seconds to load, which a study file's workers need not wait for.
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
            raise KeyboardInterrupt("a trial in flight was put back; the same cell again carries on") from None
        return StudyResults(gather(session.storage, session.record, self.build))
