"""The table that `Module.summary` returns."""

from typing import Any

from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.nn.module import Module, Shape, walk


def summary(model: Module, shape: Shape | None) -> str:
    """One line per layer (a module without modules inside) with its path, kind, output shape and parameters."""
    shapes = {} if shape is None else output_shapes(model, shape)
    rows = [("layer", "kind", "output shape", "parameters")]
    counted: set[int] = set()
    trained = total = 0
    for path, layer in model.named_modules():
        own = [t for _, t in walk(list(vars(layer).values()), "", {id(m) for m in inner(layer)})]
        own = [t for t in own if isinstance(t, Parameter) and id(t) not in counted]
        if inner(layer) and not own:
            continue
        counted.update(map(id, own))
        count = sum(t.size for t in own)
        total += count
        trained += sum(t.size for t in own if t.requires_grad)
        out = "" if id(layer) not in shapes else f"(batch, {', '.join(map(str, shapes[id(layer)]))})"
        rows.append(
            (path or "-", type(layer).__name__, out or "?", f"{count:,}" if layer.built else "not built")
        )
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths)), row[3].rjust(widths[3])]) for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    lines += [lines[1], f"total {total:,} parameters, {trained:,} of them trained"]
    return "\n".join(lines)


def inner(layer: Module) -> list[Module]:
    return [module for path, module in layer.named_modules() if path]


def output_shapes(model: Module, shape: Shape) -> dict[int, Any]:
    """The output shape of every module inside, seen during a forward pass of one sample of zeros."""
    shapes: dict[int, Any] = {}

    def watched(module: Module, forward: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
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
