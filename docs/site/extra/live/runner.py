"""Runs a program in the browser, and returns what is shown of it: the value of its last line, and pictures."""

import ast
import base64
import io
import linecache
import os
import sys
import traceback

os.environ["MPLBACKEND"] = "agg"
NAME = "program.py"


def run(code):
    """[(kind, value)]: "text" and "html" of the last value, "image" for each figure, "error" for what was raised."""
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
    html = getattr(value, "_repr_html_", None)
    return [("html", html())] if html else [("text", repr(value) + "\n")]


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
