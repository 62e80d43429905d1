"""`tapegrad tape`: run a program up to one of its backward passes, and write the tape of that as a page."""

import argparse
import runpy
import shlex
import sys
import traceback
import webbrowser
from pathlib import Path

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.calls import as_tensors
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.replacing import check_replaceable
from tapegrad.autograd.sites import Sites
from tapegrad.autograd.tape import Tape
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import next_serial
from tapegrad.cli.arguments import Mistake


class Reached(BaseException):
    """The backward pass that was asked for begins; `except Exception` of the program lets it pass."""


class UpTo(Sites):
    """Keeps the tape of the N-th backward pass that begins, and ends the program there."""

    def __init__(self, number: int) -> None:
        super().__init__(next_serial())
        self.number, self.seen = number, 0
        self.tape: Tape | None = None

    def backward(self, outputs: list[tuple[Tensor, Value]]) -> None:
        starts = [(t, as_tensors(g)[0].detach()) for t, g in outputs]
        made = [t for t, _ in starts if t.node is not None]
        self.seen += not self.passes and bool(made)
        if self.seen == self.number and self.tape is None:
            last = max(made, key=lambda t: t.node.serial)  # type: ignore[union-attr]
            self.tape = Tape(last, {}, starts)
            raise Reached
        super().backward(outputs)


def tape(options: argparse.Namespace) -> int:
    program = Path(options.program)
    if not program.is_file():
        raise Mistake(f"{program}: there is no such file")
    target = Path(options.out or f"{program.stem}.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise Mistake(f"--out {target}: expected the name of a page, as in tape.html")
    check_replaceable(target, "--out")
    # The program may go to another folder.
    place = target.absolute()
    try:
        arguments = shlex.split(options.args)
    except ValueError as error:
        raise Mistake(f"--args {options.args}: {error}") from error
    listener = UpTo(options.backward)
    status = run(program, arguments, listener)
    if listener.tape is None:
        if status:
            return status
        times = (
            f"{listener.seen} of the {options.backward} backward passes"
            if listener.seen
            else "no backward pass"
        )
        raise Mistake(
            f"{program}: it came to its end with {times} in its main thread: there is no tape to show"
        )
    try:
        listener.tape.html(place, title=program.name)
    except RuntimeError as error:
        raise Mistake(f"{program}: no page of its tape: {str(error).removeprefix('html: ')}") from error
    count = len(listener.tape.nodes)
    # The program may have closed what it prints to.
    free = next((stream for stream in (sys.stdout, sys.stderr) if stream and not stream.closed), None)
    if free is not None:
        calls = f"{count:,} call{'s' * (count != 1)}"
        print(f"wrote {target}: {calls}, up to backward pass {options.backward} of {program}", file=free)
    if options.open:
        webbrowser.open(place.as_uri())
    return 0


def run(program: Path, arguments: list[str], listener: UpTo) -> int:
    """Run a program as `python program` does; returns its exit status, and prints why it is not 0."""
    argv, path, out, err = sys.argv, list(sys.path), sys.stdout, sys.stderr
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
    return 0


def print_traceback(error: BaseException) -> None:
    """The traceback of the program's own error, without the frames of this command; a SyntaxError has none."""
    frames = error.__traceback__
    while frames is not None and "runpy" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    while frames is not None and "runpy" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)
