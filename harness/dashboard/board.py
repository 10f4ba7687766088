"""What the dashboard shows of our own: notes, curve pictures and figures, kept in Optuna's tables.

Made by the parent of a search alone, as trials finish, and all again by `harness report`. Everything has a
fixed place: made again it takes the place of what was there, and what has not changed is left as it is.
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
from harness.dashboard.notes import note_beside, study_note, trial_note
from harness.report.results import Results, gather
from harness.store.keys import finalists_key, searched_by, stands_beside
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.store.weights import draw, restore
from harness.study.load import build_of

_PICTURE = "curve.svg"
_SAMPLES = 10


class Board:
    """A study's own part of the dashboard."""

    def __init__(self, storage: Storage, study: StudyRecord) -> None:
        """Raises StudyError if the study was deleted."""
        self.storage, self.record = storage, study
        self.study = storage.optuna_study(study.key)
        self._there = storage.backend.get_study_system_attrs(self.study._study_id)

    def show_trial(self, record: TrialRecord) -> None:
        """Put a finished trial's picture and note there."""
        found = self.storage.backend.get_trial_id_from_study_id_trial_number(self.study._study_id, record.number)
        trial = optuna.Trial(self.study, found)
        picture = self._put_picture(trial, curve_picture(record, self.record)) if record.curve else None
        self._put_note(trial, trial_note(record, self.record, picture, self._samples(record)))

    def show_study(self, results: Results, stands_out: Sequence[str]) -> None:
        """Put the study's note and figures there."""
        key = self.record.key
        beside = stands_beside(key)
        self._put_note(
            self.study,
            note_beside(self.record, searched_by(key)) if beside else study_note(results, stands_out),
        )
        for name, document in figures(results).items():
            self._put_figure(name, document)

    def _samples(self, record: TrialRecord) -> list[str]:
        if record.weights_artifact is None or (
            self.record.own_model and not self.record.file
        ):  # only its notebook can make it
            return []
        model, facts = restore(
            self.storage.kept_file(record.weights_artifact), build_of(self.record.file, self.record.own_model)
        )
        return draw(model, facts, _SAMPLES, seed=0)

    def _put_note(self, owner: optuna.Study | optuna.Trial, body: str) -> None:
        of = f"{owner._trial_id}:" if isinstance(owner, optuna.Trial) else ""
        if self._text_at(f"dashboard:{of}note_str:") != body:
            save_note(owner, body)

    def _put_figure(self, name: str, document: Document) -> None:
        text = json.dumps(document, allow_nan=False)
        if self._text_at(f"dashboard:plot_data:{name}:") != text:
            save_plotly_graph_object(self.study, _Figure(text), graph_object_id=name)

    def _text_at(self, prefix: str) -> str:
        """A text that the dashboard keeps in numbered pieces."""
        pieces = takewhile(lambda piece: piece is not None, (self._there.get(f"{prefix}{n}") for n in count()))
        return "".join(map(str, pieces))

    def _put_picture(self, trial: optuna.Trial, picture: str) -> str:
        """Write a trial's picture over the one it has, if it has one; returns its address.

        A finished trial takes no more attributes, so `upload_artifact` refuses it. The dashboard looks for a
        trial's artifacts among the study's attributes too, under this prefix.
        """
        prefix = f"dashboard:artifacts:{trial._trial_id}:"
        known = [json.loads(text) for place, text in self._there.items() if place.startswith(prefix)]
        mine = next((meta for meta in known if meta is not None and meta["filename"] == _PICTURE), None)
        if mine is None:
            mine = {"artifact_id": str(uuid.uuid4()), "filename": _PICTURE, "mimetype": "image/svg+xml"}
            text = json.dumps(mine | {"encoding": None})
            self.storage.backend.set_study_system_attr(self.study._study_id, prefix + mine["artifact_id"], text)
        self.storage.artifacts.write(mine["artifact_id"], io.BytesIO(picture.encode()))
        return str(get_artifact_path(trial, mine["artifact_id"]))


class _Figure:
    """What `save_plotly_graph_object` asks of a figure."""

    def __init__(self, text: str) -> None:
        self.text = text

    def to_json(self) -> str:
        return self.text


def show_all(storage: Storage, key: str, stands_out: Sequence[str]) -> None:
    """Make everything of a study and of what stands beside it: trials, study, finalists' round, reference.

    Args:
        stands_out: what `overview` says of the study.

    Raises:
        HarnessError: the study was deleted, or stored weights are gone.
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
        board.show_study(results, stands_out)
