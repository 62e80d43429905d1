"""Runs a program in the browser, and returns what is shown of it: the value of its last line, and pictures."""

import ast
import base64
import io
import json
import linecache
import os
import sys
import traceback

os.environ["MPLBACKEND"] = "agg"
NAME = "program.py"
shown_tape = None  # the tape of the last run, whose page may ask for other numbers


def run(code):
    """[(kind, value)]: "text" and "html" of the last value, "image" for each figure, "error" for what was raised."""
    global shown_tape
    shown_tape = None
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    scope = {"__name__": "__main__"}
    shown = []
    try:
        tree = ast.parse(code, NAME)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, NAME, "exec"), scope)
        if last is not None:
            shown += of(eval(compile(ast.Expression(last.value), NAME, "eval"), scope))
    except SystemExit:
        pass
    except BaseException as error:
        error.__traceback__ = (
            error.__traceback__ and error.__traceback__.tb_next
        )  # without the frame of `run`
        shown.append(("error", "".join(traceback.format_exception(error))))
    return shown + figures()


def of(value):
    """What is shown of a value, as a notebook does it."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if value is None or type(first).__module__.startswith("matplotlib"):
        return []
    if tape := live(value):
        return [("html", tape.frame())]
    html = getattr(value, "_repr_html_", None)
    return [("html", html())] if html else [("text", repr(value) + "\n")]


def live(value):
    """The tape whose page can be asked for other numbers; None for what is no tape, or a very long one."""
    global shown_tape
    tapes = sys.modules.get("tapegrad.autograd.tapes.tape")
    if tapes is None or not isinstance(value, tapes.Tape) or len(value.nodes) > tapes.FRAMED:
        return None
    from tapegrad.autograd.pages.live import LiveTape

    shown_tape = LiveTape(value)
    return shown_tape


def change(asked):
    """What a tape's page shows after a change: JSON in, JSON out, as `LiveTape.answer` has it."""
    asked = json.loads(asked)
    if shown_tape is None:
        return json.dumps(
            {**asked, "wrong": "Python does not have this tape any more: run the program again"}
        )
    return json.dumps(shown_tape.answer(asked))


def figures():
    """The open figures of matplotlib as data URLs; they are closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    found = []
    for number in pyplot.get_fignums():
        pyplot.figure(number).savefig(file := io.BytesIO(), format="png", dpi=110)
        found.append(("image", "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()))
    pyplot.close("all")
    return found
