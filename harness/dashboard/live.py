"""The dashboard kept up to date while a study runs, by the parent alone and as trials finish."""

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
"""Seconds between two looks at one study as a whole: its note and figures are read and written in full."""


class LiveBoard:
    """Takes the events of a running study; what fails here is said once and never ends the search."""

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        self.storage, self.key, self.say = session.storage, session.record.key, say
        self._keys = {"trial": self.key, "finalist": finalists_key(self.key), "reference": session.record.reference}
        self._looked_at: dict[str, float] = {}
        self._has_failed = False

    def on_event(self, event: Event) -> None:
        key, record = self._keys[event.what], event.record
        if event.kind == "finished" and key is not None and record is not None:
            self._try(lambda: self._show(key, record))

    def finish(self, stands_out: Sequence[str]) -> None:
        """Everything once more, with what was measured after the last trial and what `overview` says."""
        from harness.dashboard.board import show_all

        self._try(lambda: show_all(self.storage, self.key, stands_out))

    def _show(self, key: str, trial: TrialRecord) -> None:
        from harness.dashboard.board import Board  # here: it takes a second to load

        study = self.storage.study(key)
        if study is None:  # deleted in the dashboard
            return
        board = Board(self.storage, study)
        board.show_trial(trial)
        if time.monotonic() - self._looked_at.get(key, -_STUDY_EVERY) >= _STUDY_EVERY:
            board.show_study(gather(self.storage, study), [])
            self._looked_at[key] = time.monotonic()

    def _try(self, make: Callable[[], None]) -> None:
        try:
            make()
        except Exception as error:  # a note that cannot be made must not cost a search
            if not self._has_failed:
                reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
                self.say(f"the dashboard's notes could not all be made: {reason} make report makes them again.")
            self._has_failed = True
