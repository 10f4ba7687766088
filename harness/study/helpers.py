"""Helpers of study files: `_NAME.py` beside a study, imported as `from _NAME import …` or `from ._NAME import …`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

PACKAGE = "studies"
"""The package that study files and their helpers belong to, in whatever folder they are."""
Sources = dict[str, str]
"""Texts of a study file and of the helpers that it imported, by file name."""


class AsWritten(SourceFileLoader):
    """Reads the source on each load and keeps its text.

    Python compares cached bytecode by second and size only, and would miss a quick edit.
    """

    def __init__(self, fullname: str, path: str, texts: Sources) -> None:
        super().__init__(fullname, path)
        self._texts = texts

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 (the loader serves one file)
        source = self.get_data(self.path)
        self._texts[Path(self.path).name] = source.decode("utf-8", errors="replace")
        return self.source_to_code(source, self.path)


class _Helpers(MetaPathFinder):
    """Finds the helpers of the study file that was loaded last, also those that its functions import later."""

    def __init__(self) -> None:
        self.folder = Path()
        self.texts: Sources = {}
        self._imported: set[str] = set()

    def of(self, folder: Path, texts: Sources) -> None:
        """Serve the helpers in this folder, and read them again even if another study imported them before."""
        self.folder, self.texts = folder, texts
        for name in self._imported:
            sys.modules.pop(name, None)
        self._imported.clear()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 (importlib passes it)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        file = self.folder / f"{name}.py"
        is_helper = package in ("", PACKAGE) and name.startswith("_") and name not in sys.stdlib_module_names
        if not is_helper or not file.is_file():
            return None
        self._imported.add(fullname)
        return spec_from_file_location(fullname, file, loader=AsWritten(fullname, str(file), self.texts))


_helpers = _Helpers()


def serve_helpers(folder: Path, texts: Sources) -> None:
    """Let the study file that is loaded next import the helpers in its folder.

    Args:
        texts: receives the text of each helper when it is imported.
    """
    if _helpers not in sys.meta_path:
        sys.meta_path.insert(0, _helpers)
    if PACKAGE not in sys.modules:
        package = ModuleType(PACKAGE)
        package.__path__ = []
        sys.modules[PACKAGE] = package
    _helpers.of(folder, texts)
