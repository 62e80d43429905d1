"""The API reference: one page for each room and source file, with every public name."""

import inspect
import types
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from docstring_markup import escaped

# What users import, and what the reference says of it.
ROOMS = {
    "tapegrad": "Tensors, functions, transforms",
    "tapegrad.random": "Random tensors",
    "tapegrad.tree": "Nested structures",
    "tapegrad.nn": "Layers",
    "tapegrad.nn.functional": "Functions of layers",
    "tapegrad.nn.activations": "Activations",
    "tapegrad.nn.losses": "Losses",
    "tapegrad.nn.init": "Initializers",
    "tapegrad.optim": "Optimizers and clipping",
    "tapegrad.optim.schedules": "Schedules",
    "tapegrad.data": "Data",
    "tapegrad.data.metrics": "Metrics",
    "tapegrad.models": "Models and callbacks",
    "tapegrad.backends": "Backends",
}
# These have a page for each source file, the others are one page.
SPLIT = ("tapegrad", "tapegrad.nn", "tapegrad.models")
# Headings of pages; the others are called after their file.
TITLES = {
    "backends.base": "Errors of backends", "backends": "The default backend", "autograd.ops.logic": "Truth and bits",
    "autograd.ops.cumulative": "Running sums and products", "autograd.ops.statistics": "Variance",
    "nn.module": "Module", "nn.recurrent_cells": "Cells of recurrences", "nn.recurrent": "Recurrence",
    "autograd.dtypes": "Dtypes", "autograd.transforms.custom": "Gradients of your own",
    "autograd.filled": "Filled tensors",
    "autograd.transforms.checkpoint": "Memory for time", "autograd.creation": "Tensors from data",
    "autograd.files": "Files", "autograd.flags": "Modes",
    "autograd.ops.arranging": "Arranging elements", "autograd.ops.elementwise": "Elementwise functions",
    "autograd.ops.shape": "Shapes", "autograd.ops.linalg": "Products", "autograd.tensor": "Tensor and Parameter",
    "autograd.transforms.derivatives": "Transforms", "autograd.transforms.jacobians": "Jacobians and Hessians",
    "autograd.transforms.check": "Checks",
    "autograd.tapes.sites": "Lines of a tape", "autograd.tapes.tape": "The tape", "autograd.random": "Seeds",
    "autograd.distributions": "Draws", "compiler.run.jit": "The compiler", "compiler.errors": "What the compiler says",
    "autograd.ops.activations": "Activation primitives", "nn.torch_losses": "Losses, PyTorch's names",
    "nn.torch_names": "Layers, PyTorch's names", "nn.torch_norms": "Normalization, PyTorch's names",
    "nn.torch_pair_losses": "Losses of pairs, PyTorch's names", "nn.torch_pools": "Pooling, PyTorch's names",
    "nn.torch_windows": "Convolution, PyTorch's names", "nn.transformer": "Transformers, PyTorch's names",
    "nn.layers": "Small layers", "models.kernel_svm": "Kernel machines", "models.svm": "Support vector machines",
    "models.mlp": "Networks that classify", "models.mlp_regressor": "Networks that predict numbers",
    "models.neural": "Estimators of any module", "models.linear": "Linear regressions",
    "models.registry": "Code of your own in files", "data.installed": "Installed data sets",
    "data.class_counts": "Metrics of a confusion matrix", "data.metric_objects": "Metrics as objects",
    "data.metric_base": "The base of metrics", "nn.weight_rules": "Penalties and constraints",
}  # fmt: skip


def public(room: str) -> dict[str, Any]:
    """What a room names: its objects by name."""
    module = import_module(room)
    names = dir(module) if room == "tapegrad" else module.__all__
    return {name: getattr(module, name) for name in names}


def names() -> list[str]:
    """The full name of everything that users may import."""
    return [f"{room}.{name}" for room in ROOMS for name in public(room)]


def is_primitive(value: Any) -> bool:
    return type(value).__name__ == "Primitive"


@cache
def rules() -> dict[str, tuple[str, str]]:
    """Primitive name -> (file, its gradient rules as source), as docs/make_primitives.py reads them."""
    spec = spec_from_file_location("make_primitives", Path(__file__).parents[1] / "make_primitives.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := module_from_spec(spec))
    return module.rules()


def module_of(value: Any) -> str:
    """The source file of a value, by its name below the package; "" for numbers, dtypes and modules."""
    if is_primitive(value):
        return rules()[value.name][0].removesuffix(".py").replace("/", ".")
    name = getattr(value, "__module__", None) or ""
    return name.removeprefix("tapegrad.") if callable(value) and name.startswith("tapegrad") else ""


def members(kind: type, rooms: set[type]) -> list[str]:
    """The public methods and properties that a class has from itself or from a base of ours that no room names."""
    from tapegrad.autograd.operators import METHODS

    found: dict[str, None] = {}
    for base in kind.__mro__:
        if base is not kind and (base in rooms or not base.__module__.startswith("tapegrad.")):
            continue
        fields = getattr(base, "__dataclass_fields__", {})
        for key, member in vars(base).items():
            member = getattr(member, "__func__", member)
            text = member.__doc__ if isinstance(member, (types.FunctionType, property)) else None
            named = isinstance(member, property) or getattr(member, "__name__", "") == key
            if text and named and not key.startswith("_") and key not in fields:
                found[key] = None
    return [key for key in found if kind.__name__ != "Tensor" or key not in METHODS]


def signature(value: Any) -> str:
    """The arguments of a primitive, of which Python sees only `*args`."""
    options = []
    if value.forward is not None and value.arrays is not None:
        parameters = list(inspect.signature(value.forward).parameters.values())[1 + value.arrays :]
        options = [str(p.replace(annotation=p.empty)) for p in parameters]
    return ", ".join([*value.array_names, *(["*", *options] if options else [])])


def entry(full: str, value: Any, seen: dict[int, str], rooms: set[type]) -> list[str]:
    """The lines of the reference for one name."""
    known = seen.setdefault(id(value), full)
    if isinstance(value, type) and known != full:
        kind = "exception" if issubclass(value, BaseException) else "class"
        return [f".. py:{kind}:: {full}", "", f"   The same as :py:class:`{known}`.", ""]
    if is_primitive(value):
        rule = rules().get(value.name, ("", ""))[1].replace("<br>", "; ").replace("\\|", "|")
        text = (
            f"   Gradient rule: {rule.replace('`', '``')}" if rule else "   No gradient: piecewise constant."
        )
        return [f".. autofunction:: {full}({signature(value)})", "", text, ""]
    if isinstance(value, type) and issubclass(value, BaseException):
        return [f".. autoexception:: {full}", ""]
    if isinstance(value, type):
        methods = members(value, rooms)
        option = [f"   :members: {', '.join(methods)}"] if methods else []
        return [f".. autoclass:: {full}", *option, ""]
    if callable(value):
        return [f".. autofunction:: {full}", ""]
    return data(full, value)


def data(full: str, value: Any) -> list[str]:
    """The lines for what is no function and no class."""
    if isinstance(value, types.ModuleType):
        text = escaped((value.__doc__ or "").partition("\n")[0])
        return [f".. py:module:: {full}", "   :no-index-entry:", "", f"``{full}``: {text}", ""]
    if isinstance(value, (dict, tuple)):
        text = "The names " + ", ".join(f"``{name}``" for name in value) + "."
    elif isinstance(value, str):
        text = (
            f"The version of the package: ``{value}``." if full.endswith("__version__") else f"``{value!r}``"
        )
    else:
        text = f"The dtype {value}."
    return [f".. py:data:: {full}", "", f"   {text}", ""]


def title_of(module: str) -> str:
    last = module.rpartition(".")[2].replace("_", " ")
    return TITLES.get(module, last[:1].upper() + last[1:])


def heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def room_page(room: str, parts: list[str]) -> str:
    """The page of a room: what it is, and the list of its pages."""
    text = (import_module(room).__doc__ or "").partition("\n")[0]
    text = escaped(text)
    tree = [".. toctree::", "   :maxdepth: 1", "", *(f"   {part}" for part in parts), ""] if parts else []
    return "\n".join([*heading(ROOMS[room], "="), f"``{room}``: {text}", "", *tree, ""])


def grouped(room: str) -> dict[str, dict[str, Any]]:
    """The names of a room by page: a large room has one for each of its source files."""
    named = public(room)
    groups: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        where = module_of(value)
        if room not in SPLIT:
            where = "all"
        elif not where and hasattr(value, "itemsize"):
            where = "autograd.dtypes"
        elif not where or (room != "tapegrad" and not f"tapegrad.{where}".startswith(room)):
            where = "other names"
        groups.setdefault(where, {})[name] = value
    return groups


def section(room: str, entries: dict[str, Any], seen: dict[int, str]) -> list[str]:
    rooms = {v for name in ROOMS for v in public(name).values() if isinstance(v, type)}
    return [line for name, value in entries.items() for line in entry(f"{room}.{name}", value, seen, rooms)]


def pages() -> dict[str, str]:
    """Path -> text of every page of the reference."""
    found, seen, shorts = {}, {}, []
    for room in ROOMS:
        shorts.append(short := room.removeprefix("tapegrad.").replace(".", "_"))
        groups = grouped(room)
        parts = [f"{short}-{module.rpartition('.')[2].replace(' ', '_')}" for module in groups]
        assert len(set(parts)) == len(parts), parts
        texts = {}
        for part, (module, entries) in zip(parts, groups.items(), strict=True):
            texts[part] = "\n".join([*heading(title_of(module), "="), *section(room, entries, seen)])
        if room in SPLIT:
            found |= {f"reference/{part}.rst": text for part, text in texts.items()}
            found[f"reference/{short}.rst"] = room_page(room, sorted(parts, key=texts.__getitem__))
        else:
            found[f"reference/{short}.rst"] = room_page(room, []) + "\n".join(
                section(room, groups["all"], seen)
            )
    index = [*heading("API reference", "="), "Every public name, by where it is imported from.", "",
             ".. toctree::", "   :maxdepth: 2", ""]  # fmt: skip
    found["reference/index.rst"] = "\n".join([*index, *(f"   {short}" for short in shorts), ""])
    return found
