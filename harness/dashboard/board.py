"""The notes, curve pictures and figures that this package adds to the Optuna dashboard, kept in Optuna's tables.

Only the parent process of a search writes them, as trials finish; `harness report` writes all of them again.
Each has a fixed key, so writing it again replaces it. Unchanged ones are not written.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence
from itertools import count, takewhile

import optuna
from optuna_dashboard import save_note, save_plotly_graph_object
from optuna_dashboard.artifact import get_artifact_path

from harness.dashboard.curve_picture import curve_picture
from harness.dashboard.figures import Document, figures
from harness.dashboard.notes import side_study_note, study_note, trial_note
from harness.errors import StudyError
from harness.report.results import Results, gather
from harness.store.keys import finalists_key, is_internal
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.store.weights import draw, restore
from harness.study.load import build_of

_PICTURE = "curve.svg"
_SAMPLES = 10


class Board:
    """Writes what the dashboard shows of one study."""

    def __init__(self, storage: Storage, study: StudyRecord) -> None:
        """Raises StudyError if the study was deleted."""
        self.storage, self.record = storage, study
        self.study = storage.optuna_study(study.key)
        self._attributes = storage.backend.get_study_system_attrs(self.study._study_id)

    def show_trial(self, record: TrialRecord) -> None:
        """Write the picture and the note of a finished trial."""
        trial_id = self.storage.backend.get_trial_id_from_study_id_trial_number(self.study._study_id, record.number)
        trial = optuna.Trial(self.study, trial_id)
        picture = self._put_picture(trial, curve_picture(record, self.record)) if record.curve else None
        self._put_note(trial, trial_note(record, self.record, picture, self._samples(record)))

    def show_study(self, results: Results, findings: Sequence[str]) -> None:
        """Write the study's note and figures."""
        belongs_to_a_search = is_internal(self.record.key)
        note = side_study_note(self.record) if belongs_to_a_search else study_note(results, findings)
        self._put_note(self.study, note)
        for name, document in figures(results).items():
            self._put_figure(name, document)

    def _samples(self, record: TrialRecord) -> list[str]:
        """Items drawn from a trial's stored weights; none if the study's own model cannot be built any more."""
        if record.weights_artifact is None:
            return []
        try:
            build = build_of(self.record.file, self.record.own_model)
            model, facts = restore(self.storage.kept_file(record.weights_artifact), build)
        except StudyError:  # its file is gone, its build has changed, or it is defined in a notebook
            return []
        return draw(model, facts, _SAMPLES, seed=0)

    def _put_note(self, owner: optuna.Study | optuna.Trial, body: str) -> None:
        trial = f"{owner._trial_id}:" if isinstance(owner, optuna.Trial) else ""
        if self._text_at(f"dashboard:{trial}note_str:") != body:
            save_note(owner, body)

    def _put_figure(self, name: str, document: Document) -> None:
        text = json.dumps(document, allow_nan=False)
        if self._text_at(f"dashboard:plot_data:{name}:") != text:
            save_plotly_graph_object(self.study, _Figure(text), graph_object_id=name)

    def _text_at(self, prefix: str) -> str:
        """A text that the dashboard stores in numbered pieces."""
        pieces = takewhile(lambda piece: piece is not None, (self._attributes.get(f"{prefix}{n}") for n in count()))
        return "".join(map(str, pieces))

    def _put_picture(self, trial: optuna.Trial, picture: str) -> str:
        """Write a trial's picture, replacing the one it has; returns its URL path.

        `upload_artifact` refuses a finished trial, which takes no more attributes. The dashboard also looks for a
        trial's artifacts among the study's attributes, under this prefix.
        """
        prefix = f"dashboard:artifacts:{trial._trial_id}:"
        known = [json.loads(text) for name, text in self._attributes.items() if name.startswith(prefix)]
        mine = next((meta for meta in known if meta is not None and meta["filename"] == _PICTURE), None)
        if mine is None:
            mine = {"artifact_id": str(uuid.uuid4()), "filename": _PICTURE, "mimetype": "image/svg+xml"}
            text = json.dumps(mine | {"encoding": None})
            self.storage.backend.set_study_system_attr(self.study._study_id, prefix + mine["artifact_id"], text)
        self.storage.artifacts.write(mine["artifact_id"], io.BytesIO(picture.encode()))
        return str(get_artifact_path(trial, mine["artifact_id"]))


class _Figure:
    """The one method of a plotly figure that `save_plotly_graph_object` calls."""

    def __init__(self, text: str) -> None:
        self.text = text

    def to_json(self) -> str:
        return self.text


def show_all(storage: Storage, key: str, findings: Sequence[str]) -> None:
    """Write the notes, pictures and figures of a study, of its finalists' round and of its reference.

    Args:
        findings: what `report.findings` says about the study.

    Raises:
        StudyError: the study was deleted.
        StorageError: stored weights are missing or corrupt.
    """
    record = storage.study(key)
    for other in (key, finalists_key(key), None if record is None else record.reference):
        found = None if other is None else storage.study(other)
        if found is None:
            continue
        board, results = Board(storage, found), gather(storage, found)
        for trial in results.trials:
            if trial.status != "running":
                board.show_trial(trial)
        board.show_study(results, findings)
