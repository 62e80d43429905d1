"""`tapegrad tape`: run a program up to one of its backward passes, and write the tape of that as a page."""

import argparse
import io
import os
import runpy
import shlex
import sys
import traceback
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.pages.page import written
from tapegrad.autograd.replacing import check_replaceable
from tapegrad.autograd.tapes.sites import Sites
from tapegrad.autograd.tapes.tape import Tape
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.calls import as_tensors
from tapegrad.autograd.writes import next_serial
from tapegrad.cli.arguments import Mistake
from tapegrad.cli.keeping import check_ours


class Reached(BaseException):
    """The backward pass that was asked for begins; `except Exception` of the program lets it pass."""

    def __init__(self) -> None:
        super().__init__("tapegrad tape ends the program at this backward pass")


class UpTo(Sites):
    """Shows the page of the N-th backward pass that begins, and ends the program there."""

    def __init__(self, number: int, title: str, show: Callable[[str, int], None]) -> None:
        super().__init__(next_serial())
        self.number, self.title, self.show, self.seen = number, title, show, 0
        self.process = os.getpid()
        self.calls = 0
        self.error: Exception | None = None  # why the tape has no page

    def backward(self, outputs: list[tuple[Tensor, Value]]) -> None:
        # A forked process runs as it does without this command.
        if not self.is_child():
            starts = [(t, as_tensors(g)[0].detach()) for t, g in outputs]
            made = [t for t, _ in starts if t.node is not None]
            self.seen += not self.passes and bool(made)
            if self.seen >= self.number:
                if not self.calls:
                    last = max(made, key=lambda t: t.node.serial)  # type: ignore[union-attr]
                    self.keep(Tape(last, {}, starts))
                # The program may have a bare `except:`: then it is ended at its next pass.
                raise Reached
        super().backward(outputs)

    def keep(self, tape: Tape) -> None:
        """Show the page here: what the program does in an `except:` or `finally:` may write to its tensors, or end the
        process."""
        self.calls = len(tape.nodes)
        try:
            with (
                changed_flags(grad=True, raw=False, anomaly=False, depth=0, recorder=None, leaves=()),
                np.errstate(all="ignore"),
            ):
                self.show(tape.html(title=self.title), self.calls)
        # It is not the program's, which might catch it.
        except Exception as error:
            self.error = error

    def is_child(self) -> bool:
        return os.getpid() != self.process

    def passes_seen(self) -> str:
        return f"{self.seen} of the {self.number} backward passes" if self.seen else "no backward pass"


def tape(options: argparse.Namespace) -> int:
    program = Path(options.program)
    if program.is_dir():
        raise Mistake(f"{program} is a folder: give the file to run, as in {program / '__main__.py'}")
    if not program.is_file():
        raise Mistake(f"{program}: there is no such file")
    target = Path(options.out or f"{program.stem}.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise Mistake(f"--out {target}: expected the name of a page, as in tape.html")
    check_replaceable(target, "--out")
    check_ours([target], "--out")
    # The program may go to another folder.
    place = target.absolute()
    try:
        arguments = shlex.split(options.args)
    except ValueError as error:
        raise Mistake(f"--args {options.args}: {error}") from error
    out, err = sys.stdout, sys.stderr  # which the program may replace

    def show(page: str, calls: int) -> None:
        written(page, place)
        text = f"wrote {target}: {plural(calls, 'call')}, up to backward pass {options.backward} of {program}"
        print(text, file=free_stream(out, err), flush=True)
        if options.open:
            webbrowser.open(place.as_uri())

    listener = UpTo(options.backward, program.name, show)
    status = run(program, arguments, listener)
    if listener.is_child():
        return status
    if not listener.calls:
        how = f"it ended with the status {status} after" if status else "it came to its end with"
        message = f"{program}: {how} {listener.passes_seen()} in its main thread: there is no tape to show"
        if not status:
            raise Mistake(message)
        print(f"tapegrad tape: {message}", file=free_stream(sys.stderr, sys.stdout))
        return status
    if isinstance(listener.error, RuntimeError):
        reason = str(listener.error).removeprefix("html: ")
        raise Mistake(f"{program}: no page of its tape: {reason}") from listener.error
    if listener.error is not None:
        raise listener.error
    return 0


def free_stream(*streams: TextIO) -> TextIO:
    """The first that is open: the program may have closed what it prints to."""
    return next((stream for stream in streams if stream and not stream.closed), io.StringIO())


def run(program: Path, arguments: list[str], listener: UpTo) -> int:
    """Run a program as `python program` does; returns its exit status, and prints why it is not 0."""
    argv, path, out, err, unraisable = sys.argv, list(sys.path), sys.stdout, sys.stderr, sys.unraisablehook
    # Of a `__del__`, which cannot end the program.
    sys.unraisablehook = lambda what: None if what.exc_type is Reached else unraisable(what)
    sys.argv = [str(program), *arguments]
    sys.path.insert(0, str(program.resolve().parent))
    try:
        with changed_flags(recorder=listener):
            runpy.run_path(str(program.resolve()), run_name="__main__")
    except Reached:
        return 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception as error:
        print_traceback(error)
        return 1
    finally:
        sys.argv, sys.path[:], sys.stdout, sys.stderr = argv, path, out, err
        sys.unraisablehook = unraisable
    return 0


def print_traceback(error: BaseException) -> None:
    """The traceback of the program's own error, without the frames of this command; a SyntaxError has none."""
    frames = error.__traceback__
    while frames is not None and "runpy" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    while frames is not None and "runpy" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    if isinstance(error.__context__, Reached):  # its `finally:` raised
        error.__context__ = None
    traceback.print_exception(type(error), error, frames)
