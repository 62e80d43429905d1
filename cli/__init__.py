"""The command line: `tapegrad train`, `predict`, `evaluate`, `compare`, `source`, `tape`, `doctor`.

Each command is a module of this room, imported when it is asked for. Whatever is wrong with the input is one line on
stderr and exit status 2.
"""

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tapegrad.autograd.files import FileError
from tapegrad.backends import BackendError
from tapegrad.cli.arguments import Mistake, parser
from tapegrad.data.table import TableError


class Ended(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM: files are put in order as after Ctrl-C."""


def ended(number: int, frame: object) -> NoReturn:
    raise Ended


EXPECTED = (Mistake, TableError, FileError, BackendError)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print a warning as the notes are: who types a command did not write the line that it names."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *where, **more: f"note: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status. None: the process's own arguments."""
    own_process = arguments is None
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # The terminal may lack characters that a CSV file's names contain.
            stream.reconfigure(errors="replace")
    options = parser().parse_args(given)
    try:
        if options.command == "doctor":
            from tapegrad.cli.doctor import doctor

            return doctor()
        if options.command == "source":
            from tapegrad.cli.source import source

            return source(options)
        if options.command == "tape":
            from tapegrad.cli.tape import tape

            return tape(options)
        if own_process:
            from tapegrad.cli.blas import restart_if_slow

            restart_if_slow(given, options.data)
            signal.signal(signal.SIGTERM, ended)
        module = importlib.import_module(f"tapegrad.cli.{options.command}")
        with warnings_as_notes():
            return int(getattr(module, options.command)(options))
    except EXPECTED as error:
        message = str(error)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        message = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    except KeyboardInterrupt as stop:
        print(*(stop.args or ("stopped",)), file=sys.stderr)
        return 143 if isinstance(stop.__cause__ or stop, Ended) else 130
    print(f"tapegrad {options.command}: {message.splitlines()[0]}", file=sys.stderr)
    return 2
