"""Updates the dashboard while a study runs: in the parent process, as trials finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.errors import HarnessError
from harness.report.results import gather
from harness.search.events import Event
from harness.search.session import Session
from harness.store.keys import finalists_key
from harness.store.trial_record import TrialRecord

_STUDY_EVERY = 5.0
"""Seconds between updates of a study's own note and figures, which read and write the whole study."""


class LiveBoard:
    """Listens to the events of a running study. A failure here is reported once and never stops the search."""

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        self.storage, self.key, self.say = session.storage, session.record.key, say
        self._keys = {"trial": self.key, "finalist": finalists_key(self.key), "reference": session.record.reference}
        self._updated_at: dict[str, float] = {}
        self._has_failed = False

    def on_event(self, event: Event) -> None:
        key, record = self._keys[event.what], event.record
        if event.kind == "finished" and key is not None and record is not None:
            self._try(lambda: self._show(key, record))

    def finish(self, findings: Sequence[str]) -> None:
        """Write everything again, with the findings and what was measured after the last trial."""
        from harness.dashboard.board import show_all

        self._try(lambda: show_all(self.storage, self.key, findings))

    def _show(self, key: str, trial: TrialRecord) -> None:
        from harness.dashboard.board import Board  # here because it takes a second to import

        study = self.storage.study(key)
        if study is None:  # deleted in the dashboard
            return
        board = Board(self.storage, study)
        board.show_trial(trial)
        if time.monotonic() - self._updated_at.get(key, -_STUDY_EVERY) >= _STUDY_EVERY:
            board.show_study(gather(self.storage, study), [])
            self._updated_at[key] = time.monotonic()

    def _try(self, update: Callable[[], None]) -> None:
        try:
            update()
        except Exception as error:  # a note that cannot be written must not stop a search
            if not self._has_failed:
                reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
                self.say(f"the dashboard's notes could not all be written: {reason} make report writes them again.")
            self._has_failed = True
