"""What can go wrong in a way the user can mend: one root, few leaves.

Every message is one line that says the rule, the value given and the way out.
The command line prints it and leaves with `exit_code`; nobody sees a traceback.
"""

from __future__ import annotations

import difflib


class HarnessError(Exception):
    """Root of every error this package raises on purpose."""

    exit_code = 2


class ConfigError(HarnessError):
    """A config, option or study definition breaks a rule."""


class CorpusError(HarnessError):
    """A corpus that cannot serve: unknown, unreadable or too small."""


class CorpusUnavailable(CorpusError):
    """A known corpus that is not on this machine and could not be fetched."""


class StorageError(HarnessError):
    """A storage or results folder that cannot be opened, read or written."""


class StudyError(HarnessError):
    """A study in the wrong state for what was asked of it."""


class ModelChanged(StudyError):
    """A study's build makes another model than the one that was stored."""


class TrialsFailed(StudyError):
    """Every trial of a study failed for the same reason; there is nothing to search."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?` for a near miss or a beginning, whatever its capitals; else nothing."""
    folded = {name.casefold(): name for name in reversed(known)}
    wanted = word.casefold()
    close = difflib.get_close_matches(wanted, folded, n=1) or [n for n in folded if wanted and n.startswith(wanted)]
    return f" Did you mean {folded[close[0]]!r}?" if close else ""
