"""`tapegrad source`: the program that a step of a saved model is compiled to."""

import argparse
import io
import sys
import tokenize
from pathlib import Path

from tapegrad.cli.arguments import Mistake
from tapegrad.cli.keeping import check_ours
from tapegrad.cli.writing import all_or_nothing, check_folder
from tapegrad.compiler import Compiled, TraceError
from tapegrad.compiler.emit.available import checked
from tapegrad.models.progress import is_terminal
from tapegrad.models.sequential import Sequential
from tapegrad.models.steps import program_of

CODE, COMMENT, PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"


def source(options: argparse.Namespace) -> int:
    target = None if options.save is None else Path(options.save)
    if target is not None:
        if target.suffix != ".py":
            raise Mistake(f"--save {target}: expected the name of a Python file, as in step.py")
        if options.emitter != "numpy":
            raise Mistake(
                f"--save writes a file that runs with NumPy alone: leave out --emitter {options.emitter}"
            )
        check_folder(target.parent, (target.name, target.with_suffix(".npz").name), "--save")
        check_ours([target], "--save")
    program = compiled(options)
    if target is None:
        text = program.source()
        sys.stdout.write(coloured(text) if is_terminal(sys.stdout) else text)
        return 0
    names = target.name, target.with_suffix(".npz").name
    with all_or_nothing(target.parent, names) as folder:
        program.save(str(folder / target.name))
    print(f"wrote {' and '.join(names)} in {target.parent}: a step on arrays, that needs NumPy alone")
    print(f"to use it: from {target.stem} import open_step; step = open_step(); {call(program)}")
    return 0


def compiled(options: argparse.Namespace) -> Compiled:
    path = Path(options.model)
    if path.is_dir():
        raise Mistake(f"{path} is a folder: name a model in it")
    model = Sequential.load(path)
    if options.what == "train" and model.optimizer is None:
        raise Mistake(f"{path} does not say how it is trained (no optimizer and loss): --what predict")
    what = options.what or ("predict" if model.optimizer is None else "train")
    try:
        program = program_of(model, what, options.batch_size, checked(options.emitter))
    except (ValueError, TraceError) as error:
        raise Mistake(f"{path}: {error}") from error
    runner = program.shown().runner
    if runner.emitter != options.emitter:
        print(f"note: written for {runner.emitter}: {runner.note}", file=sys.stderr)
    return program


def call(program: Compiled) -> str:
    """How the saved step is called, and what comes of it."""
    arguments = ", ".join(v.name for v in program.shown().runner.program.arguments)
    results = "outputs," if program.__name__ == "predict" else "loss, outputs"
    return f"{results} = step({arguments})"


def coloured(text: str) -> str:
    """Python source for a terminal: comments in a colour, keywords of its frame in bold."""
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        style = (
            COMMENT if token.type == tokenize.COMMENT else CODE if token.string in ("def", "return") else ""
        )
        if style:
            (row, start), (_, end) = token.start, token.end
            line = lines[row - 1]
            lines[row - 1] = f"{line[:start]}{style}{line[start:end]}{PLAIN}{line[end:]}"
    return "".join(lines)
