"""The table that `Module.summary` returns, and that a notebook shows."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from html import escape

from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.pages.inline import histogram, table
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.module import Module, walk
from tapegrad.nn.shapes import Shape


@dataclass(frozen=True)
class Row:
    """One layer: a module without modules inside, or with parameters of its own."""

    path: str
    kind: str
    shape: str
    built: bool
    parameters: list[Parameter]

    @property
    def count(self) -> int:
        return sum(t.size for t in self.parameters)


def children(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules directly inside a module, through its lists, tuples and dicts, with their paths."""
    inner: set[int] = set()
    for path, part in module.named_modules()[1:]:
        if id(part) not in inner:
            yield path, part
            inner.update(id(m) for _, m in part.named_modules())


def rows_of(model: Module, shapes: dict[int, Shape]) -> list[Row]:
    rows = []
    counted: set[int] = set()
    for path, layer in model.named_modules():
        parts = [t for _, t in walk(list(vars(layer).values()), "", {id(m) for m in inner(layer)})]
        own = [t for t in parts if isinstance(t, Parameter) and id(t) not in counted]
        if inner(layer) and not own:
            continue
        counted.update(map(id, own))
        out = "" if id(layer) not in shapes else f"(batch, {', '.join(map(str, shapes[id(layer)]))})"
        rows.append(Row(path or "-", type(layer).__name__, out or "?", layer.built, own))
    return rows


def totals(rows: list[Row]) -> str:
    trained = sum(t.size for row in rows for t in row.parameters if t.requires_grad)
    return f"total {plural(sum(row.count for row in rows), 'parameter')}, {trained:,} of them trained"


def summary(model: Module, shape: Shape | None) -> str:
    """One line per layer (a module without modules inside) with its path, kind, output shape and parameters."""
    layers = rows_of(model, {} if shape is None else output_shapes(model, shape))
    rows = [("layer", "kind", "output shape", "parameters")]
    rows += [(r.path, r.kind, r.shape, f"{r.count:,}" if r.built else "not built") for r in layers]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths)), row[3].rjust(widths[3])]) for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join([*lines, lines[1], totals(layers)])


def as_html(model: Module) -> str:
    """The summary as a notebook shows it, with histograms of each layer's weights and gradients. Output shapes are
    there where the first layer knows its input and all layers have their weights."""
    built = all(module.built for _, module in model.named_modules())
    shapes: dict[int, Shape] = {}
    if built and model.input_shape is not None:
        with suppress(Exception):  # a forward that wants more than one tensor
            shapes = output_shapes(model, model.input_shape)
    layers = rows_of(model, shapes)
    rows = []
    for r in layers:
        gradients = [p._grad for p in r.parameters if p._grad is not None]
        for t in (*r.parameters, *gradients):
            t._read("_repr_html_()", "Show the model outside.")
        weights = " ".join(histogram(p.data, f"values of a parameter of {r.path}") for p in r.parameters)
        slopes = " ".join(histogram(g.data, f"a gradient of {r.path}") for g in gradients)
        rows.append([r.path, r.kind, r.shape, f"{r.count:,}" if r.built else "not built", weights, slopes])
    head = ("layer", "kind", "output shape", "parameters", "weights", "gradients")
    return f"<div><b>{escape(type(model).__name__)}</b>{table(rows, head, html=4)}{totals(layers)}</div>"


def inner(layer: Module) -> list[Module]:
    return [module for path, module in layer.named_modules() if path]


def output_shapes(model: Module, shape: Shape) -> dict[int, Shape]:
    """The output shape of every module inside, seen during a forward pass of one sample of zeros."""
    shapes: dict[int, Shape] = {}

    def watched(module: Module, forward: Function) -> Function:
        def run(*args: object, **kwargs: object) -> object:
            out = forward(*args, **kwargs)
            if isinstance(out, Tensor):
                shapes[id(module)] = out.shape[1:]
            return out

        return run

    modules = [module for _, module in model.named_modules()]
    try:
        for module in modules:
            module.forward = watched(module, module.forward)  # type: ignore[method-assign]
        Module.infer_shape(model, shape)
    finally:
        for module in modules:
            vars(module).pop("forward", None)
    return shapes
