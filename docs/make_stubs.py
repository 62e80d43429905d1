"""Write the stubs for type checkers from the functions themselves: `python docs/make_stubs.py`.

src/tapegrad/__init__.pyi   what `import tapegrad as tg` names
autograd/methods.pyi        the methods of Tensor that are functions of tapegrad
nn/functional.pyi           `tg.nn.functional`

A primitive takes any number of positional arguments at run time; here it has the number that its forward takes, and
gives a Tensor.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tapegrad as tg
from tapegrad.autograd import aliases, ops
from tapegrad.autograd.operators import METHODS
from tapegrad.autograd.primitive import Primitive

ROOT = Path(__file__).resolve().parent.parent
# The type of an argument by its name, where its function says no more than Any.
BY_NAME = {
    "axis": "Axis", "shape": "Shape | int", "dtype": "DTypeLike | None", "sample_weight": "TensorLike | None",
    "index": "Index", "axes": "Any", "approximate": "bool | str",
}  # fmt: skip
HEAD = '"""Written by docs/make_stubs.py from the functions themselves."""\n'


def written(function: Any) -> dict[str, str]:
    """The types of a function's arguments and of its "return" as its source has them, with the names of the aliases."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (TypeError, OSError):
        return {}
    if not isinstance(node := tree.body[0], ast.FunctionDef):
        return {}
    names = [
        *node.args.posonlyargs,
        *node.args.args,
        node.args.vararg,
        *node.args.kwonlyargs,
        node.args.kwarg,
    ]
    types = {n.arg: ast.unparse(n.annotation).strip("'") for n in names if n and n.annotation}
    return types | ({"return": ast.unparse(node.returns)} if node.returns else {})


def result(types: dict[str, str]) -> str:
    """What a function returns: one Tensor, or as many as its source says."""
    kind = types.get("return", "Any")
    return re.sub(r"\bAny\b", "Tensor", kind) if kind.startswith("tuple[") else "Tensor"


def parameter(p: inspect.Parameter, default: str, types: dict[str, str]) -> str:
    """One parameter with its type. default: the type where nothing else is known of it."""
    kind = types.get(p.name, "Any")
    if kind == "Any":
        known = p.annotation not in (Any, inspect.Parameter.empty)
        kind = inspect.formatannotation(p.annotation) if known else BY_NAME.get(p.name, default)
        kind = kind.replace(inspect.formatannotation(aliases.TensorLike), "TensorLike")
    star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    if p.default is p.empty:
        return f"{star}{p.name}: {kind}"
    if p.default is None and "None" not in kind and kind not in ("Any", "Axis"):
        kind += " | None"
    return f"{p.name}: {kind} = {p.default!r}"


def parameters(given: list[inspect.Parameter], types: dict[str, str]) -> list[str]:
    """As they are written, with the marks of positional and of keyword arguments."""
    found: list[str] = []
    for n, p in enumerate(given):
        before = given[n - 1].kind if n else None
        if before is p.POSITIONAL_ONLY and p.kind is not p.POSITIONAL_ONLY:
            found.append("/")
        if p.kind is p.KEYWORD_ONLY and before not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            found.append("*")
        found.append(parameter(p, "TensorLike", types))
    if given and given[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        found.append("/")
    return found


def signature(function: Any) -> list[inspect.Parameter]:
    """The parameters of a public function; of a primitive, the arrays that its forward takes."""
    if not isinstance(function, Primitive):
        return list(inspect.signature(function).parameters.values())
    return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in function.array_names]


def function_stub(name: str, function: Any) -> str:
    types = written(function)
    return f"def {name}({', '.join(parameters(signature(function), types))}) -> {result(types)}: ...\n"


def method_stub(name: str) -> str:
    function = getattr(ops, name)
    types = written(function)
    given = ["self", *parameters(signature(function)[1:], types)]
    return f"    def {name}({', '.join(given)}) -> {result(types)}: ...\n"


def imports(lines: list[str]) -> str:
    return "\n".join(sorted(lines)) + "\n"


def aliases_in(text: str, room: str = "autograd", known: Sequence[str] = tuple(aliases.__all__)) -> str:
    """The import of a room's aliases that a stub names."""
    names = [name for name in known if re.search(rf"\b{name}\b", text)]
    return f"from tapegrad.{room}.aliases import {', '.join(names)}"


def face() -> str:
    """The stub of tapegrad itself."""
    functions, taken = [], []
    for name in dir(tg):
        value = getattr(tg, name)
        if name in ops.PUBLIC:
            # In tapegrad's own namespace `bool` is a dtype.
            functions.append(re.sub(r"\bbool\b", "_bool", function_stub(name, value)))
        elif name == "__version__":
            functions.append("__version__: str\n")
        elif inspect.ismodule(value):
            taken.append(f"from tapegrad import {name} as {name}")
        else:
            taken.append(f"from {home(name, value)} import {name} as {name}")
    lines = [
        "from builtins import bool as _bool", "from collections.abc import Sequence", "from typing import Any", *taken,
        aliases_in("".join(functions)),
    ]  # fmt: skip
    public = ", ".join(repr(name) for name in tg.__all__)
    return f"{HEAD}\n{imports(lines)}\n__all__ = [{public}]\n\n{''.join(functions)}"


def home(name: str, value: Any) -> str:
    """The module that a name of tapegrad comes from."""
    if getattr(value, "__name__", "") == name and str(getattr(value, "__module__", "")).startswith(
        "tapegrad"
    ):
        return str(value.__module__)
    return "tapegrad.autograd.dtypes"


HEADER = "from collections.abc import Sequence\nfrom typing import Any\n\n"
TENSOR = "from tapegrad.autograd.tensor import Tensor"


def methods() -> str:
    """The stub of the methods that Tensor has of functions."""
    body = "".join(method_stub(name) for name in METHODS)
    return f"{HEAD}\n{HEADER}{aliases_in(body)}\n{TENSOR}\n\nclass Methods:\n{body}"


def functional() -> str:
    """The stub of tg.nn.functional."""
    names = tg.nn.functional.__all__
    body = "".join(function_stub(name, getattr(tg.nn.functional, name)) for name in names)
    public = ", ".join(repr(name) for name in names)
    of_layers = aliases_in(body, "nn", ("Padding", "Sizes"))
    return f"{HEAD}\n{HEADER}{aliases_in(body)}\n{TENSOR}\n{of_layers}\n\n__all__ = [{public}]\n\n{body}"


STUBS = {
    "src/tapegrad/__init__.pyi": face, "autograd/methods.pyi": methods, "nn/functional.pyi": functional,
}  # fmt: skip

if __name__ == "__main__":
    for path, write in STUBS.items():
        (ROOT / path).write_text(write())
