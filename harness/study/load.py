"""Loads study files: finds them by name, reads their source, returns their STUDY."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from contextlib import suppress
from pathlib import Path

from harness import paths
from harness.errors import HarnessError, StudyError, nearest
from harness.files import is_utf_8
from harness.model import Build, CharMLP
from harness.study.definition import Study
from harness.study.helpers import PACKAGE, AsWritten, Sources, serve_helpers

_sources: dict[Path, Sources] = {}
"""Texts of each study file and its helpers, as they were when the file was last loaded."""


def load_study(name: str) -> tuple[Study, Path]:
    """The `STUDY` of `studies/NAME.py` or of a file given by its path, and that file.

    Raises:
        StudyError: there is no such file, it has no STUDY, or it fails to import.
    """
    path = Path(name) if name.endswith(".py") else paths.studies_folder() / f"{name}.py"
    if not path.is_file():
        known = paths.known_studies()
        raise StudyError(
            f"a study must be a file in {paths.studies_folder()} or a path to one; got {name!r}. "
            f"There are: {', '.join(known) or 'none'}.{nearest(Path(name).stem, known)} Name one of them, or write it."
        )
    path = path.resolve()
    if not is_utf_8(path):
        raise StudyError(f"the path of a study file must be UTF-8; got {str(path)!r}. Rename it, or set PYTHONUTF8=1.")
    name, texts = f"{PACKAGE}.{path.stem}", Sources()
    serve_helpers(path.parent, texts)
    specification = importlib.util.spec_from_file_location(name, path, loader=AsWritten(name, str(path), texts))
    assert specification is not None  # a .py file always has one
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
    except HarnessError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise StudyError(f"a study file must import; {path} raised {reason}. Fix it.") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise StudyError(f"a study file must define STUDY = Study(…); {path} has {study!r}. Add it.")
    _sources[path] = texts
    return study, path


def sources_of(study: Study, file: str) -> Sources:
    """Texts of a study file and of its helpers as they were loaded, by file name.

    A study without a file gives the texts of its functions, where Python knows them, as in a notebook.
    """
    if file:
        return dict(sorted(_sources[Path(file).resolve()].items()))
    texts = Sources()
    for name, function in (("suggest", study.suggest), ("build", study.build)):
        if name == "suggest" or study.own_model:
            with suppress(OSError, TypeError):
                texts[name] = inspect.getsource(function)
    return texts


def build_of(file: str, own_model: bool) -> Build:
    """The `build` of a stored study. Its file is needed only if it has a model of its own.

    Raises:
        StudyError: it has its own model, and its file is gone or never existed.
    """
    return with_own_model(file).build if own_model else CharMLP.build


def with_own_model(file: str) -> Study:
    """A stored study that has a model of its own, from its file.

    Raises:
        StudyError: the file is gone or never existed.
    """
    if not file:
        raise StudyError(
            "a study with its own model needs its build, which the storage does not hold; this study was run from "
            "the notebook that defines it. Use it there, or save it as a file in studies/."
        )
    return load_study(file)[0]
