"""The command line: `harness`, also `python -m harness`. The only room that prints."""

from __future__ import annotations

import io
import sys
from itertools import pairwise

import optuna
import sqlalchemy
import torch
import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from harness.cli import (
    bench_command,
    check_commands,
    holdout_command,
    report_commands,
    run_commands,
    show_command,
    study_commands,
)
from harness.errors import HarnessError, first_line, nearest

app = typer.Typer(
    name="harness",
    help="Search a small neural language model's hyperparameters honestly. Losses are nats per symbol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    study_commands.study,
    study_commands.studies,
    study_commands.corpora,
    show_command.show,
    study_commands.report,
    report_commands.table,
    report_commands.compare,
    study_commands.dashboard,
    holdout_command.holdout,
    check_commands.rerun,
    check_commands.prune_check,
    run_commands.train,
    run_commands.sample,
    check_commands.baselines,
    run_commands.lr_range,
    run_commands.overfit,
    bench_command.bench,
):
    app.command(command.__name__.replace("_", "-"))(command)


def main() -> None:
    """Run a command; whatever the user can mend ends in one line on stderr and its exit code."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs is no reason to stop
    torch.set_num_threads(1)  # as workers do: the bits of a run depend on it
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line: 0 done, 1 failed, 2 bad input, 3 already opened, 130 interrupted."""
    try:
        code = app(arguments, standalone_mode=False)
    except HarnessError as error:
        return _refuse(str(error), error.exit_code)
    except typer.Abort:  # Ctrl-C where no search runs, as while a report is written
        return _refuse("stopped. Nothing finished is lost; the same command carries on.", 130)
    except TyperException as error:
        return _refuse(f"{_said(error, arguments)} Ask harness --help.", 2)
    except (optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = error.__cause__ or error
        reason = first_line(getattr(cause, "orig", cause))
        return _refuse(f"the storage must stay readable and writable; it says {reason!r}. Nothing finished is lost.", 2)
    except OSError as error:
        return _refuse(
            f"{error.filename or 'the file system'}: {error.strerror or error}. Nothing finished is lost.", 2
        )
    return code if isinstance(code, int) else 0


def _said(error: TyperException, arguments: list[str]) -> str:
    """The rule that was broken, the value given, and the nearest option where an unknown one was."""
    if options := list(getattr(error, "possibilities", None) or []):
        unknown = str(getattr(error, "option_name", ""))
        return f"No such option: {unknown}.{nearest(unknown, options)}"
    message = error.format_message().rstrip(".")
    return message if message.endswith("?") else f"{message}{_given(error, arguments)}."


def _given(error: TyperException, arguments: list[str]) -> str:
    """The value that was refused, which typer's own message leaves out."""
    if isinstance(error.__cause__, ValidationError):
        return f"; got {error.__cause__.errors()[0]['input']!r}"
    options = getattr(getattr(error, "param", None), "opts", [])
    for option, value in pairwise(arguments):
        if option in options:
            return f"; got {value!r}"
    return ""


def _refuse(message: str, code: int) -> int:
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)
    return code
