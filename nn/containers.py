"""Containers of modules besides Sequential: lists, dicts, a residual connection, and branches side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import one_of, whole_number
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.aliases import Config
from tapegrad.nn.module import Module
from tapegrad.nn.sequential import Sequential
from tapegrad.nn.shapes import Shape


class Residual(Sequential):
    """x + the output of its layers, called in turn on x (He et al. 2015)

    Args:
        *layers: The layers, or one list of them.

    Raises:
        ValueError: The layers change the shape; nothing is broadcast.
    """

    def infer_shape(self, shape: Shape) -> Shape:
        out = super().infer_shape(shape)
        if out != tuple(shape):
            raise self._another(shape, out)
        return out

    def forward(self, x: TensorLike) -> Tensor:
        x = ops.shape.as_tensor(x)
        y = super().forward(x)
        if y.shape != x.shape:
            raise self._another(x.shape, y.shape)
        return x + y

    def _another(self, shape: Shape, out: Shape) -> ValueError:
        return ValueError(
            f"Residual: its layers must keep the shape {tuple(shape)}, and made {tuple(out)}: end them with a layer "
            "that brings it back"
        )


def _all(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[list[Tensor]], Tensor]:
    return lambda parts: reduce(function, parts)


_JOINS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "sum": _all(ops.add),
    "product": _all(ops.multiply),
    "max": _all(ops.maximum),
    "min": _all(ops.minimum),
    "mean": lambda parts: reduce(ops.add, parts) * (1.0 / len(parts)),
}


class Parallel(Sequential):
    """Calls each of its layers on the same input and joins the outputs

    Keras's Concatenate, Add, Multiply, Average, Maximum and Minimum, with the branches inside.

    Args:
        *layers: The branches, or one list of them.
        join: "concat" along `axis`, or "sum", "product", "mean", "max" or "min" of outputs of one shape.
        axis: Of "concat", counted with the batch.

    Raises:
        ValueError: The outputs do not fit; nothing is broadcast.
    """

    checks = {"join": partial(one_of, known=("concat", *_JOINS)), "axis": whole_number}

    def __init__(self, *layers: Module | Sequence[Module], join: str = "concat", axis: int = -1) -> None:
        self.join, self.axis = join, axis
        super().__init__(*layers)

    def append(self, layer: Module) -> None:
        """Add a branch.

        Args:
            layer: The branch.
        """
        known = self.input_shape
        self._output_shape = None  # of the one before: branches do not feed each other
        super().append(layer)
        self.input_shape = known or layer.input_shape
        self._output_shape = None
        for branch in self.layers if self.input_shape is not None else ():
            branch.infer_shape(self.input_shape)  # type: ignore[arg-type]

    add = append

    def infer_shape(self, shape: Shape) -> Shape:
        self.input_shape = shape
        shapes = [(1, *branch.infer_shape(shape)) for branch in self.layers]
        self._fit(shapes)
        if self.join != "concat":
            return shapes[0][1:]
        at = ops.shape.one_axis("Parallel", self.axis, len(shapes[0]))
        return tuple(sum(s[a] for s in shapes) if a == at else n for a, n in enumerate(shapes[0]))[1:]

    def _fit(self, shapes: list[Shape]) -> None:
        if not shapes:
            raise ValueError("Parallel: there are no layers to call: give it one")
        if self.join != "concat" and any(s != shapes[0] for s in shapes):
            raise ValueError(f'Parallel: join="{self.join}" needs outputs of one shape, got {shapes}')
        if self.join == "concat":
            at = ops.shape.one_axis("Parallel", self.axis, len(shapes[0]))
            if any(s[:at] + s[at + 1 :] != shapes[0][:at] + shapes[0][at + 1 :] for s in shapes):
                raise ValueError(
                    f'Parallel: join="concat" needs outputs that differ along axis {self.axis} only, got {shapes}'
                )

    def forward(self, x: TensorLike) -> Tensor:
        parts = [branch(x) for branch in self.layers]
        self._fit([part.shape for part in parts])
        return ops.concat(parts, axis=self.axis) if self.join == "concat" else _JOINS[self.join](parts)


def _module(container: str, given: object) -> Module:
    if not isinstance(given, Module):
        raise TypeError(
            f"{container}: expected a module, got {given!r}: wrap a function as nn.Activation(function)"
        )
    return given


def _listed(name: str, modules: Any) -> list[Module]:
    return [_module("ModuleList", module) for module in modules]


class ModuleList(Module):
    """A list of modules, whose parameters have paths such as "blocks.0.kernel" in self.blocks

    A plain list in an attribute is searched too; this one takes modules only, and is a Module. It is not called: the
    `forward` of the module that has it says in which order its modules are.

    Args:
        modules: The modules.
    """

    modules: Any
    checks = {"modules": _listed}

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.modules = modules

    def _named_parts(self) -> Iterable[tuple[str, Module]]:
        return ((str(number), module) for number, module in enumerate(self.modules))

    def append(self, module: Module) -> "ModuleList":
        """Add a module at the end; returns the list.

        Args:
            module: The module.
        """
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        """Add modules at the end; returns the list.

        Args:
            modules: The modules.
        """
        self.modules.extend([_module("ModuleList", module) for module in modules])
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one of that number.

        Args:
            index: The number; as of a list, it may be counted from the end.
            module: The module.
        """
        self.modules.insert(index, _module("ModuleList", module))

    def pop(self, index: int = -1) -> Module:
        """Take a module out of the list; returns it.

        Args:
            index: Its number; by default the last one is taken.
        """
        return self.modules.pop(index)

    def __getitem__(self, index: int | slice) -> Any:
        """One module, or for a slice a ModuleList of those (the same objects)."""
        return ModuleList(self.modules[index]) if isinstance(index, slice) else self.modules[index]

    def __setitem__(self, index: int, module: Module) -> None:
        self.modules[index] = _module("ModuleList", module)

    def __delitem__(self, index: int | slice) -> None:
        del self.modules[index]

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def config(self) -> Config:
        return {}


def _by_name(name: str, modules: Any) -> dict[str, Module]:
    pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
    found = {}
    for key, module in pairs:
        if not isinstance(key, str) or not key or "." in key:
            raise KeyError(f"ModuleDict: {key!r} cannot be the name of a module: give a text without dots")
        found[key] = _module("ModuleDict", module)
    return found


class ModuleDict(Module):
    """A dict of modules by name, whose parameters have paths such as "heads.left.kernel" in self.heads

    A plain dict in an attribute is searched too; this one takes modules under texts only, and is a Module.

    Args:
        modules: A mapping, or pairs of a name and a module. A name with a dot raises KeyError.
    """

    modules: Any
    checks = {"modules": _by_name}

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.modules = modules

    def _named_parts(self) -> Iterable[tuple[str, Module]]:
        return self.modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Put in modules, in place of those of the same name.

        Args:
            modules: A mapping, or pairs of a name and a module.
        """
        self.modules.update(_by_name("ModuleDict", modules))

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __getitem__(self, name: str) -> Any:
        return self.modules[name]

    def __delitem__(self, name: str) -> None:
        del self.modules[name]

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __contains__(self, name: object) -> bool:
        return name in self.modules

    def pop(self, name: str) -> Module:
        """Take a module out of the dict; returns it.

        Args:
            name: Its name; an unknown one raises KeyError.
        """
        return self.modules.pop(name)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self.modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self.modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with their modules."""
        return self.modules.items()

    def config(self) -> Config:
        return {}
