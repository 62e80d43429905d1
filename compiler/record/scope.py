"""What the user calls the tensors that a function uses: its arguments, and what it closes over."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tapegrad.autograd.structure import is_module
from tapegrad.autograd.tensor import Tensor


class Surroundings:
    """What a function can reach by name: its arguments, closure, globals and bound self.

    names     id of a Tensor -> its name
    modules   every Module, with those inside
    leaves    the parameters of Modules and optimizers, and other tensors that require grad
    closed    ids of the tensors that it reaches without its arguments
    owners    id of an array -> the Tensor in reach whose contents it is
    """

    def __init__(self, f: Callable[..., Any], args: Any) -> None:
        self.names: dict[int, str] = {}
        self.modules: list[Any] = []
        self.leaves: list[Tensor] = []
        self.owners: dict[int, Tensor] = {}
        around = within_reach(f, args)
        several = sum(is_module(v) for v in around.values()) > 1
        for name, value in within_reach(f, ()).items():
            self.look(name, value, several, depth=2)
        self.closed = frozenset(self.names)
        for name, value in around.items():
            self.look(name, value, several, depth=2)

    def look(self, name: str, value: Any, several: bool, depth: int) -> None:
        """Take down the tensors in a value; parameters by their path alone, if there is one Module only."""
        if isinstance(value, (type, ModuleType)):
            return
        if isinstance(value, Tensor):
            self.names.setdefault(id(value), name)
            self.owners.setdefault(id(value.data), value)
            self.leaves += [value] if value.requires_grad else []
        elif is_module(value):
            self.modules += [m for _, m in value.named_modules() if m not in self.modules]
            if all(m.built for m in self.modules):
                for path, t in [*value.named_parameters(), *value.named_buffers()]:
                    self.look(f"{name}.{path}" if several else path, t, several, depth)
        elif hasattr(value, "flats"):
            for i, flat in enumerate(value.flats):
                number = f"_{i + 1}" if len(value.flats) > 1 else ""
                parts = {"parameters": flat.p, "learning_rate": flat.lr, "steps": flat.step, **flat.state}
                for part, t in parts.items():
                    self.look(part + number, t, several, depth)
                self.leaves += flat.params
        elif isinstance(value, dict):
            for key, part in value.items():
                self.look(f"{name}_{key}", part, several, depth)
        elif isinstance(value, (list, tuple)):
            for i, part in enumerate(value[:1000]):
                self.look(f"{name}_{i}", part, several, depth)
        elif depth and hasattr(value, "__dict__") and not callable(value):
            for key, part in vars(value).items():
                self.look(key, part, several, depth - 1)


def within_reach(f: Callable[..., Any], args: Any) -> dict[str, Any]:
    around: dict[str, Any] = {}
    owner = getattr(f, "__self__", None)
    code: Any = getattr(f, "__code__", None)
    if code is not None:
        scope = getattr(f, "__globals__", {})
        around |= {n: scope[n] for n in code.co_names if n in scope}
        cells = getattr(f, "__closure__", None) or ()
        around |= dict(zip(code.co_freevars, (c.cell_contents for c in cells if _filled(c))))
        around |= dict(zip(code.co_varnames[owner is not None :], args))
    if owner is not None:
        around["self"] = owner
    if is_module(f):
        around["model"] = f
    return around


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
